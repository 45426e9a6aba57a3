"""Words in which the OpenAPI document of /v1 is written."""

from typing import Any

from labeling.states import Scope

Schema = dict[str, Any]
Paths = dict[str, dict[str, Any]]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
MOMENT: Schema = {"type": "integer", "description": "Seconds since 1970."}

# what each may be answered with, and why
REASONS = {
    400: "Something in the request is wrong, or is not served here; `param` names the field.",
    401: "There is no API key, or none that can be used.",
    403: "The key lacks the scope.",
    404: "There is nothing of this name in the key's project.",
    408: "The request's body did not come.",
    413: "The request is too large.",
    415: "The body is compressed.",
    429: "The key has made too many requests in this minute; `Retry-After` says how many seconds to wait.",
    500: "An error of the server's.",
    503: "The engine is away or busy. It is worth a retry.",
}
BODY_REASONS = (400, 408, 413, 415)
RATE_HEADERS = {
    "x-request-id": {"schema": TEXT, "description": "The answer's own id, for questions about it."},
    "x-ratelimit-limit-requests": {"schema": WHOLE, "description": "Requests a minute that the key may make."},
    "x-ratelimit-remaining-requests": {"schema": WHOLE, "description": "How many of them are left."},
    "x-ratelimit-reset-requests": {"schema": TEXT, "description": "When the minute ends, as in `42s`."},
}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def maybe(schema: Schema) -> Schema:
    """The same, or null."""
    return {**schema, "type": [schema["type"], "null"]} if "type" in schema else {"anyOf": [schema, {"type": "null"}]}


def one_of(*values: Any) -> Schema:
    return {"enum": list(values)}


def many(schema: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": schema, **more}


def shape(required: dict[str, Schema], /, *, note: str = "", **optional: Any) -> Schema:
    """An object. Clients have to live with fields that are not named here."""
    found: Schema = {"type": "object", "properties": {**required, **optional}}
    if required:
        found["required"] = list(required)
    return {**found, "description": note} if note else found


def page(name: str) -> Schema:
    """A list by key."""
    return shape(
        {
            "object": one_of("list"),
            "data": many(ref(name)),
            "has_more": FLAG,
            "first_id": maybe(TEXT),
            "last_id": maybe(TEXT),
        }
    )


def whole_list(name: str) -> Schema:
    """A list without pages."""
    return shape({"object": one_of("list"), "data": many(ref(name))})


def deleted(kind: str) -> Schema:
    return shape({"id": TEXT, "object": one_of(kind), "deleted": one_of(True)})


def query(name: str, schema: Schema, note: str = "") -> Schema:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": note}


def pages(most: int, default: int) -> list[Schema]:
    return [
        query("after", TEXT, "The id after which the page begins."),
        query("limit", {"type": "integer", "minimum": 1, "default": default}, f"More than {most} are cut to {most}."),
    ]


ORDER = query("order", one_of("asc", "desc"), "By age.")


def operation(
    name: str,
    summary: str,
    *,
    tag: str,
    scopes: tuple[Scope, ...] = (),
    body: Schema | None = None,
    media: str = "application/json",
    needs_body: bool = True,
    parameters: list[Schema] | None = None,
    answer: Schema | None = None,
    answer_media: str = "application/json",
    event: Schema | None = None,
    may_be: tuple[int, ...] = (),
) -> Schema:
    """One method of an address. `event`: what the lines of its stream hold, where it can be had as one."""
    reasons = {401, 403, 404, 429, 500, *may_be, *(BODY_REASONS if body else (400,))}
    content: dict[str, Schema] = {answer_media: {"schema": answer or {}}}
    if event is not None:
        content["text/event-stream"] = {
            "schema": {"type": "string", "description": f"`data:` lines, {event['description']}"}
        }
    found: Schema = {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "security": [{"apiKey": []}],
        "parameters": parameters or [],
        "responses": {
            "200": {"description": "Done.", "headers": RATE_HEADERS, "content": content},
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(reasons)},
        },
    }
    if scopes:
        found["description"] = f"The key needs the scope {' or '.join(scopes)}."
    if body is not None:
        found["requestBody"] = {"required": needs_body, "content": {media: {"schema": body}}}
    return found


def in_path(name: str, note: str) -> list[Schema]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
            "description": note,
        }
    ]
