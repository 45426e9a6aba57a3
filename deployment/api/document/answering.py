"""Models, chat completions and completions, and feedback."""

from typing import Any

from deployment.api.document.parts import (
    FLAG,
    MOMENT,
    ORDER,
    TEXT,
    WHOLE,
    Paths,
    Schema,
    deleted,
    in_path,
    many,
    maybe,
    one_of,
    operation,
    page,
    pages,
    query,
    ref,
    shape,
    whole_list,
)
from deployment.api.document.training import METADATA
from labeling.states import Scope

INFERENCE, FEEDBACK = (Scope.INFERENCE,), (Scope.FEEDBACK,)
ENGINE = (503,)
PENALTY = maybe({"type": "number", "minimum": -2, "maximum": 2})
TOKENS = maybe({"type": "integer", "minimum": 1, "maximum": 2**20})
STOP: Schema = {
    "anyOf": [TEXT, many({"type": "string", "minLength": 1, "maxLength": 1000}, maxItems=16), {"type": "null"}]
}
COMMON: dict[str, Any] = {
    "max_tokens": TOKENS,
    "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2, "default": 1},
    "top_p": maybe({"type": "number", "minimum": 0, "maximum": 1}),
    "top_k": maybe({"type": "integer", "minimum": 0, "maximum": 1_000_000}),
    "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 32, "default": 1},
    "stop": STOP,
    "seed": maybe({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 33}),
    "frequency_penalty": PENALTY,
    "presence_penalty": PENALTY,
    "stream": maybe(FLAG),
    "stream_options": maybe(shape({}, include_usage=maybe(FLAG), note="Only where `stream` is true.")),
    "metadata": maybe(METADATA),
}
USAGE = shape({"prompt_tokens": WHOLE, "completion_tokens": WHOLE, "total_tokens": WHOLE})
FINISH = one_of("stop", "length", "cancelled")

SCHEMAS: dict[str, Schema] = {
    "Model": shape({"id": TEXT, "object": one_of("model"), "created": MOMENT, "owned_by": TEXT}),
    "Message": shape(
        {"role": one_of("system", "developer", "user", "assistant")},
        content={
            "anyOf": [TEXT, many(shape({"type": one_of("text"), "text": TEXT})), {"type": "null"}],
            "description": "Null for an assistant's message alone.",
        },
    ),
    "ChatRequest": shape(
        {"model": {"type": "string", "maxLength": 300}, "messages": many(ref("Message"), minItems=1)},
        note="What is not served (tools, images, response formats other than text) is refused by its name.",
        **COMMON,
        max_completion_tokens=TOKENS,
        logprobs=maybe(FLAG),
        top_logprobs=maybe({"type": "integer", "minimum": 0, "maximum": 20}),
        store=maybe(FLAG),
    ),
    "ChatCompletion": shape(
        {
            "id": TEXT,
            "object": one_of("chat.completion"),
            "created": MOMENT,
            "model": TEXT,
            "choices": many(
                shape(
                    {
                        "index": WHOLE,
                        "message": shape({"role": one_of("assistant"), "content": TEXT, "refusal": {"type": "null"}}),
                        "logprobs": maybe({"type": "object"}),
                        "finish_reason": FINISH,
                    }
                )
            ),
            "usage": USAGE,
            "metadata": maybe(METADATA),
        }
    ),
    "StoredMessage": shape({"id": TEXT, "role": TEXT, "content": TEXT, "name": {"type": "null"}}),
    "MetadataRequest": shape({}, metadata=maybe(METADATA)),
    "CompletionRequest": shape(
        {},
        **COMMON,
        model={"type": ["string", "null"], "maxLength": 300, "description": "Needed unless the address names it."},
        prompt={"anyOf": [TEXT, many(TEXT, minItems=1, maxItems=32), {"type": "null"}]},
        logprobs={"anyOf": [{"type": "integer", "minimum": 0, "maximum": 5}, {"type": "null"}, one_of(False)]},
        echo=maybe(FLAG),
        best_of={"type": ["integer", "null"], "minimum": 1, "maximum": 32, "description": "Not more than `n`."},
    ),
    "Completion": shape(
        {
            "id": TEXT,
            "object": one_of("text_completion"),
            "created": MOMENT,
            "model": TEXT,
            "choices": many(
                shape({"text": TEXT, "index": WHOLE, "logprobs": maybe({"type": "object"}), "finish_reason": FINISH})
            ),
            "usage": USAGE,
        }
    ),
    "FeedbackRequest": shape(
        {"completion_id": {"type": "string", "maxLength": 60}},
        index={
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": 1000,
            "description": "The choice, where there are several.",
        },
        rating={"enum": ["up", "down", 1, -1, None], "description": "Needed unless there is a correction."},
        reason={"type": ["string", "null"], "description": "One of the project's reasons by its key."},
        comment=maybe({"type": "string", "maxLength": 100_000}),
        correction={
            "type": ["string", "null"],
            "maxLength": 100_000,
            "description": "The right answer; a reviewer decides on it.",
        },
    ),
    "Feedback": shape(
        {
            "object": one_of("feedback"),
            "completion_id": TEXT,
            "model": TEXT,
            "rating": one_of("up", "down", None),
            "case": maybe(shape({"number": WHOLE, "state": TEXT, "fixed_in": maybe(TEXT)})),
        }
    ),
}

_model, _completion = in_path("model", "A model's name."), in_path("completion_id", "An answer's id.")
CHUNKS: Schema = {
    "description": "each a chunk of the answer, at last `[DONE]`. Comments keep a silent connection alive."
}
COMPLETE: Schema = operation(
    "createCompletion",
    "Complete a text",
    tag="answers",
    scopes=INFERENCE,
    body=ref("CompletionRequest"),
    answer=ref("Completion"),
    event=CHUNKS,
    may_be=ENGINE,
)

PATHS: Paths = {
    "/v1/models": {
        "get": operation("listModels", "List all names that can be asked", tag="models", answer=whole_list("Model"))
    },
    "/v1/models/{model}": {
        "get": operation("showModel", "Show a model", tag="models", parameters=_model, answer=ref("Model")),
        "delete": operation(
            "deleteModel",
            "Delete a fine-tuned model that no deployment answers with",
            tag="models",
            scopes=(Scope.JOBS,),
            parameters=_model,
            answer=deleted("model"),
        ),
    },
    "/v1/engines": {
        "get": operation("listEngines", "The same as the models", tag="legacy", answer=whole_list("Model"))
    },
    "/v1/engines/{model}": {
        "get": operation("showEngine", "The same as a model", tag="legacy", parameters=_model, answer=ref("Model"))
    },
    "/v1/engines/{model}/completions": {
        "post": {**COMPLETE, "operationId": "createEngineCompletion", "tags": ["legacy"], "parameters": _model}
    },
    "/v1/chat/completions": {
        "get": operation(
            "listChatCompletions",
            "List stored answers, oldest first",
            tag="answers",
            scopes=INFERENCE,
            parameters=[query("model", TEXT), ORDER, *pages(100, 20)],
            answer=page("ChatCompletion"),
        ),
        "post": operation(
            "createChatCompletion",
            "Answer a conversation",
            tag="answers",
            scopes=INFERENCE,
            body=ref("ChatRequest"),
            answer=ref("ChatCompletion"),
            event=CHUNKS,
            may_be=ENGINE,
        ),
    },
    "/v1/chat/completions/{completion_id}": {
        "get": operation(
            "showChatCompletion",
            "Show a stored answer",
            tag="answers",
            scopes=INFERENCE,
            parameters=_completion,
            answer=ref("ChatCompletion"),
        ),
        "post": operation(
            "updateChatCompletion",
            "Change a stored answer's metadata",
            tag="answers",
            scopes=INFERENCE,
            parameters=_completion,
            body=ref("MetadataRequest"),
            needs_body=False,
            answer=ref("ChatCompletion"),
        ),
        "delete": operation(
            "deleteChatCompletion",
            "Take an answer out of the list; the project's log keeps it",
            tag="answers",
            scopes=INFERENCE,
            parameters=_completion,
            answer=deleted("chat.completion.deleted"),
        ),
    },
    "/v1/chat/completions/{completion_id}/messages": {
        "get": operation(
            "listChatCompletionMessages",
            "List what a stored answer was asked",
            tag="answers",
            scopes=INFERENCE,
            parameters=[*_completion, query("after", TEXT)],
            answer=page("StoredMessage"),
        )
    },
    "/v1/completions": {"post": COMPLETE},
    "/v1/feedback": {
        "post": operation(
            "createFeedback",
            "Rate, report or correct an answer",
            tag="feedback",
            scopes=FEEDBACK,
            body=ref("FeedbackRequest"),
            answer=ref("Feedback"),
        )
    },
    "/v1/feedback/{completion_id}": {
        "get": operation(
            "showFeedback",
            "Say what has become of it",
            tag="feedback",
            scopes=FEEDBACK,
            parameters=_completion,
            answer=ref("Feedback"),
        )
    },
}
