"""/v1/batches: a file of requests, answered in the background."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest, JsonResponse

from common.wire import WireError, read_json
from common.wire_params import Params, list_page
from deployment.actions.batch import cancel_batch, create_batch
from deployment.actions.errors import BatchEnded
from deployment.models import Batch
from deployment.states import BatchState
from labeling.api.key import require_key
from labeling.states import Scope
from training.models import File
from training.states import FilePurpose

ENDPOINTS = ["/v1/chat/completions", "/v1/completions"]
WINDOWS = ["24h"]


def create(request: HttpRequest) -> JsonResponse:
    key = require_key(request, Scope.INFERENCE)
    params = Params(read_json(request))
    endpoint = params.choice("endpoint", None, ENDPOINTS)
    params.choice("completion_window", None, WINDOWS)
    if "output_expires_after" in params:
        raise params.refuse("output_expires_after", "not served here", code="unsupported_parameter")
    metadata = params.metadata()
    name = params.text("input_file_id", most=200)
    file = File.objects.live().filter(project=key.project, key=name).first()
    if file is None or not file.path.is_file():
        raise WireError(f"No such File object: {name}", param="input_file_id")
    if file.purpose != FilePurpose.BATCH:
        raise params.refuse("input_file_id", f"the file has the purpose {file.purpose!r}, not 'batch'")
    return JsonResponse(show_batch(create_batch(key=key, endpoint=endpoint, input_file=file, metadata=metadata)))


def index(request: HttpRequest) -> JsonResponse:
    key = require_key(request, Scope.INFERENCE)
    rows = Batch.objects.filter(project=key.project).select_related("input_file", "output_file", "error_file")
    return JsonResponse(list_page(rows, request.GET, show=show_batch))


def show(request: HttpRequest, name: str) -> JsonResponse:
    return JsonResponse(show_batch(_find(request, name)))


def cancel(request: HttpRequest, name: str) -> JsonResponse:
    batch = _find(request, name)
    try:
        cancel_batch(batch=batch)
    except BatchEnded as error:
        raise WireError(f"Cannot cancel {name}: {error}", code="invalid_state") from error
    return JsonResponse(show_batch(batch))


def show_batch(batch: Batch) -> dict[str, Any]:
    ended = {f"{state}_at": _seconds(batch.ended_at) if batch.state == state else None for state in ENDED}
    return {
        "id": batch.key,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
        "input_file_id": batch.input_file.key,
        "completion_window": WINDOWS[0],
        "status": batch.state,
        "output_file_id": batch.output_file.key if batch.output_file else None,
        "error_file_id": batch.error_file.key if batch.error_file else None,
        "created_at": _seconds(batch.created_at),
        "in_progress_at": _seconds(batch.in_progress_at),
        "expires_at": _seconds(batch.expires_at),
        "finalizing_at": _seconds(batch.finalizing_at),
        "cancelling_at": _seconds(batch.cancelling_at),
        **ended,
        "request_counts": {"total": batch.n_total, "completed": batch.n_completed, "failed": batch.n_failed},
        "metadata": batch.metadata,
    }


ENDED = (BatchState.COMPLETED, BatchState.FAILED, BatchState.EXPIRED, BatchState.CANCELLED)


def _seconds(moment: datetime | None) -> int | None:
    return int(moment.timestamp()) if moment else None


def _find(request: HttpRequest, name: str) -> Batch:
    key = require_key(request, Scope.INFERENCE)
    rows = Batch.objects.filter(project=key.project).select_related("input_file", "output_file", "error_file")
    batch = rows.filter(key=name).first()
    if batch is None:
        raise WireError(f"No batch found with id '{name[:100]}'.", status=404, param="id")
    return batch
