"""/v1/files."""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.http.multipartparser import MultiPartParserError
from django.utils.http import content_disposition_header

from common.wire import WireError
from common.wire_params import list_page
from labeling.api.key import require_key
from labeling.models import ApiKey
from labeling.states import Scope
from training.actions.errors import BadLine, FileRefused
from training.actions.file import create_file, delete_file
from training.api.shapes import file_shape
from training.models import File
from training.states import FilePurpose

logger = logging.getLogger(__name__)

UPLOADED = [FilePurpose.FINE_TUNE.value, FilePurpose.BATCH.value, FilePurpose.EVALS.value]
PAGE = 10_000
MIN_EXPIRY_S, MAX_EXPIRY_S = 3600, 30 * 24 * 3600
CHUNK_BYTES = 256 * 1024


def create(request: HttpRequest) -> JsonResponse:
    key = require_key(request, Scope.FILES)
    try:
        form, upload = request.POST, request.FILES.get("file")
    except MultiPartParserError as error:
        raise WireError(f"The form cannot be read: {error}") from error
    purpose = form.get("purpose")
    if not purpose:
        raise WireError("'purpose' is a required property", param="purpose", code="missing_required_parameter")
    if purpose not in UPLOADED:
        raise WireError(f"'{purpose[:60]}' is not one of {UPLOADED} - 'purpose'", param="purpose")
    expires_after = _expiry(form)
    if upload is None:
        raise WireError("'file' is a required property", param="file", code="missing_required_parameter")
    try:
        file = create_file(
            project=key.project,
            name=upload.name or "",
            purpose=FilePurpose(purpose),
            chunks=upload.chunks(CHUNK_BYTES),
            by=key.user,
            expires_after=expires_after,
        )
    except BadLine as error:
        is_json = bool(error.name)
        code = "invalid_file_format" if is_json else None
        raise WireError(str(error), param="file" if is_json else None, code=code) from error
    except FileRefused as error:
        raise WireError(str(error), param=error.field) from error
    except OSError as error:
        logger.exception("An upload cannot be written")
        raise WireError(
            "The server's disk is full or cannot be written.",
            status=500,
            kind="server_error",
            headers={"x-should-retry": "false"},
        ) from error
    return JsonResponse(file_shape(file))


def index(request: HttpRequest) -> JsonResponse:
    key = require_key(request, Scope.FILES)
    files = File.objects.live().filter(project=key.project)
    purpose = request.GET.get("purpose")
    if purpose:
        files = files.filter(purpose=purpose) if purpose in FilePurpose.values else files.none()
    return JsonResponse(list_page(files, request.GET, show=file_shape, default=PAGE, most=PAGE))


def show(request: HttpRequest, name: str) -> JsonResponse:
    key = require_key(request, Scope.FILES, Scope.JOBS)
    return JsonResponse(file_shape(find_file(key, name)))


async def content(request: HttpRequest, name: str) -> HttpResponseBase:
    """The bytes as they came."""
    key = await sync_to_async(require_key)(request, Scope.FILES, Scope.JOBS)
    file = await sync_to_async(find_file)(key, name)
    if not file.is_there:
        raise no_such_file(name)
    response = StreamingHttpResponse(_chunks(file.path), content_type="application/octet-stream")
    response["Content-Length"] = str(file.size_bytes)
    response["Content-Disposition"] = content_disposition_header(True, file.name) or "attachment"
    return response


def delete(request: HttpRequest, name: str) -> JsonResponse:
    key = require_key(request, Scope.FILES)
    file = find_file(key, name)
    delete_file(file=file)
    return JsonResponse({"id": file.key, "object": "file", "deleted": True})


def find_file(key: ApiKey, name: str) -> File:
    """Return a live file of the key's project. Raises WireError 404."""
    file = File.objects.live().filter(project=key.project, key=name).first() if "\x00" not in name else None
    if file is None:
        raise no_such_file(name)
    return file


def no_such_file(name: str) -> WireError:
    return WireError(f"No such File object: {name[:200]}", status=404, param="id")


def _expiry(form: Any) -> timedelta | None:
    anchor, text = form.get("expires_after[anchor]"), form.get("expires_after[seconds]")
    if anchor is None and text is None:
        return None
    if anchor != "created_at":
        raise WireError("'expires_after[anchor]' has to be created_at", param="expires_after.anchor")
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) < 10
    if not is_number or not MIN_EXPIRY_S <= int(text) <= MAX_EXPIRY_S:
        raise WireError(
            f"'expires_after[seconds]' has to be from {MIN_EXPIRY_S} to {MAX_EXPIRY_S}", param="expires_after.seconds"
        )
    return timedelta(seconds=int(text))


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    file = await sync_to_async(lambda: path.open("rb"))()
    try:
        while chunk := await sync_to_async(file.read)(CHUNK_BYTES):
            yield chunk
    finally:
        file.close()
