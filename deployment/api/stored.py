"""Chat completions that were asked for with `store`: listed, read, labelled, and taken out of the list."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, JsonResponse

from common.wire import WireError, read_json
from common.wire_params import Params, list_page
from deployment.models import Completion
from deployment.states import CompletionState
from labeling.api.key import require_key
from labeling.models import ApiKey
from labeling.states import Scope


def index(request: HttpRequest) -> JsonResponse:
    key = require_key(request, Scope.INFERENCE)
    rows = _stored(key)
    for name, value in request.GET.dict().items():
        if name.startswith("metadata[") and name.endswith("]"):
            pairs = rows.exclude(metadata=None).values_list("pk", "metadata")
            rows = rows.filter(pk__in=[pk for pk, metadata in pairs if (metadata or {}).get(name[9:-1]) == value])
        elif name == "model" and "\x00" not in value:
            rows = rows.filter(parameters__model=value)
    return JsonResponse(list_page(rows, request.GET, show=_show, order="asc"))


def show(request: HttpRequest, name: str) -> JsonResponse:
    return JsonResponse(_show(_find(request, name)))


def update(request: HttpRequest, name: str) -> JsonResponse:
    """Change the metadata, and nothing else."""
    completion = _find(request, name)
    metadata = Params(read_json(request)).metadata()
    Completion.objects.filter(pk=completion.pk).update(metadata=metadata)
    completion.metadata = metadata
    return JsonResponse(_show(completion))


def delete(request: HttpRequest, name: str) -> JsonResponse:
    """Take the answer out of the list. The project's log keeps it: a case may rest on it."""
    completion = _find(request, name)
    Completion.objects.filter(pk=completion.pk).update(is_stored=False)
    return JsonResponse({"id": name, "object": "chat.completion.deleted", "deleted": True})


def messages(request: HttpRequest, name: str) -> JsonResponse:
    """The prompt, oldest first, all of it on one page."""
    completion = _find(request, name)
    data = [
        {"id": f"{completion.key}-{i}", "role": message["role"], "content": message["content"], "name": None}
        for i, message in enumerate(completion.messages)
    ]
    edges = {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
    if request.GET.get("after"):
        data = []
    return JsonResponse({"object": "list", "data": data, "has_more": False, **edges})


def _stored(key: ApiKey) -> QuerySet[Completion]:
    return Completion.objects.filter(project=key.project, is_stored=True, state=CompletionState.DONE)


def _find(request: HttpRequest, name: str) -> Completion:
    completion = _stored(require_key(request, Scope.INFERENCE)).filter(key=name).first()
    if completion is None:
        raise WireError(f"No such chat completion: {name[:60]}", status=404, param="id")
    return completion


def _show(completion: Completion) -> dict[str, Any]:
    n_prompt, n_answer = completion.n_prompt_tokens or 0, completion.n_completion_tokens or 0
    message = {"role": "assistant", "content": completion.response, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": completion.finish_reason}
    return {
        "id": completion.key,
        "object": "chat.completion",
        "created": int(completion.created_at.timestamp()),
        "model": completion.parameters.get("model", completion.model_name),
        "choices": [choice],
        "usage": {
            "prompt_tokens": n_prompt,
            "completion_tokens": n_answer,
            "total_tokens": n_prompt + n_answer,
        },
        "metadata": completion.metadata,
    }
