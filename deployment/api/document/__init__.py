"""GET /v1/openapi.json: the interface, described for programs. Nobody needs a key to read it."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse

from deployment.api.document import answering, batches, training
from deployment.api.document.parts import REASONS, TEXT, maybe, ref, shape


def document() -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Emend: the OpenAI wire format",
            "version": "1",
            "description": "Files, fine-tuning, answers and feedback, for OpenAI's clients. See docs/api.md.",
        },
        "servers": [{"url": settings.PUBLIC_URL}],
        "paths": {**training.PATHS, **answering.PATHS, **batches.PATHS},
        "components": {
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                **training.SCHEMAS,
                **answering.SCHEMAS,
                **batches.SCHEMAS,
                "Error": shape(
                    {"error": shape({"message": TEXT, "type": TEXT, "param": maybe(TEXT), "code": maybe(TEXT)})}
                ),
            },
            "responses": {
                str(status): {"description": reason, "content": {"application/json": {"schema": ref("Error")}}}
                for status, reason in REASONS.items()
            },
        },
    }


def show(request: HttpRequest) -> JsonResponse:
    return JsonResponse(document())
