"""What a request for answers asks for. What is not served is refused by its name, never ignored in silence.

Only hints without effect on the text (who the end user is, which tier, how to cache) are taken and not used.
"""

from dataclasses import dataclass, field
from typing import Any

from common.conversations import Message
from common.wire_params import Params

MAX_CHOICES = 32
MAX_TOKENS = 2**20
MAX_STOPS = 16
MAX_TEXT = 2_000_000
MAX_TOP_K = 1_000_000
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# Values that ask for nothing.
IDLE: tuple[Any, ...] = (None, False, [], {}, "", "none")
NOT_SERVED = ("tools", "functions", "audio", "suffix")
# Of OpenAI or of other servers that speak its format; each would change the text, whatever its value.
FOREIGN = (
    "web_search_options",
    "min_p",
    "typical_p",
    "repetition_penalty",
    "length_penalty",
    "min_tokens",
    "stop_token_ids",
    "bad_words",
    "ignore_eos",
    "use_beam_search",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
)


@dataclass(frozen=True)
class Asked:
    """`n` answers to each of `prompts`, with the engine's `parameters`."""

    target: str
    prompts: list[list[Message]]
    n: int
    parameters: dict[str, Any]
    is_stream: bool
    has_usage: bool
    has_echo: bool = False
    is_stored: bool = False
    metadata: dict[str, str] | None = None
    named: tuple[str, ...] = ()  # what the caller calls the conversation, or whose it is; empty: nothing was said
    n_top: int | None = field(default=None)  # likely tokens to tell beside each, None: tell nothing of tokens


def parse_chat(params: Params) -> Asked:
    """Read the body of /v1/chat/completions. Raises WireError."""
    n_top = None
    if params.flag("logprobs"):
        n_top = params.whole("top_logprobs", 0, least=0, most=20)
    elif params.raw("top_logprobs") not in (None, 0):
        raise params.refuse("top_logprobs", "needs logprobs to be true")
    _refuse_hidden_answers(params)
    max_tokens = params.whole("max_tokens", None, least=1, most=MAX_TOKENS)
    max_tokens = params.whole("max_completion_tokens", max_tokens, least=1, most=MAX_TOKENS)
    return _parse(params, [_messages(params)], max_tokens=max_tokens, n_top=n_top, is_stored=params.flag("store"))


def parse_completion(params: Params, *, target: str = "") -> Asked:
    """Read the body of /v1/completions; `target` is the model where the address names it. Raises WireError."""
    max_tokens = params.whole("max_tokens", 16, least=1, most=MAX_TOKENS)
    n_top = None if params.raw("logprobs") is False else params.whole("logprobs", None, least=0, most=5)
    _refuse_hidden_answers(params)
    return _parse(
        params,
        _prompts(params),
        max_tokens=max_tokens,
        n_top=n_top,
        has_echo=params.flag("echo"),
        target=target,
    )


def _parse(
    params: Params, prompts: list[list[Message]], *, max_tokens: int | None, target: str = "", **fields: Any
) -> Asked:
    _refuse_what_is_not_served(params)
    n = params.whole("n", 1, least=1, most=MAX_CHOICES) or 1
    if n * len(prompts) > MAX_CHOICES:
        raise params.refuse("n", f"at most {MAX_CHOICES} answers to one request")
    parameters: dict[str, Any] = {"temperature": params.number("temperature", 1.0, least=0, most=2)}
    wanted = {
        "top_p": params.number("top_p", None, least=0, most=1),
        "top_k": params.whole("top_k", 0, least=0, most=MAX_TOP_K) or None,
        "max_tokens": max_tokens,
        "stop": _stops(params) or None,
        "seed": params.whole("seed", None, least=-(2**63), most=2**63 - 1 - MAX_CHOICES),
        "frequency_penalty": params.number("frequency_penalty", 0, least=-2, most=2) or None,
        "presence_penalty": params.number("presence_penalty", 0, least=-2, most=2) or None,
        "logprobs": fields.get("n_top"),
    }
    parameters |= {name: value for name, value in wanted.items() if value is not None}
    is_stream = params.flag("stream")
    if "stream_options" in params and not is_stream:
        raise params.refuse("stream_options", "only allowed when stream is true")
    return Asked(
        target=target or params.text("model", most=300),
        prompts=prompts,
        n=n,
        parameters=parameters,
        is_stream=is_stream,
        has_usage=params.inner("stream_options").flag("include_usage"),
        metadata=params.metadata(),
        named=_named(params),
        **fields,
    )


def _named(params: Params) -> tuple[str, ...]:
    """The conversation by its own name, else the person whose it is: an answer's model depends on it while there is a canary."""
    conversation = (params.metadata() or {}).get("conversation_id")
    if conversation:
        return ("conversation", conversation)
    for name in ("safety_identifier", "user"):
        if isinstance(person := params.raw(name), str) and person:
            return ("person", person)
    return ()


def _refuse_what_is_not_served(params: Params) -> None:
    for name in NOT_SERVED:
        if params.raw(name) not in IDLE:
            raise params.refuse(name, "not served here", code="unsupported_parameter")
    for name in FOREIGN:
        if name in params:
            raise params.refuse(name, "not served here", code="unsupported_parameter")
    for name in ("tool_choice", "function_call"):
        if params.raw(name) not in (*IDLE, "auto"):
            raise params.refuse(name, "not served here", code="unsupported_parameter")
    if params.raw("modalities") not in (None, ["text"]):
        raise params.refuse("modalities", 'only ["text"] is served', code="unsupported_parameter")
    if params.inner("logit_bias").names():
        raise params.refuse("logit_bias", "not served here", code="unsupported_parameter")
    _need_text_format(params)


def _refuse_hidden_answers(params: Params) -> None:
    best_of = params.whole("best_of", None, least=1, most=MAX_CHOICES)
    if best_of is not None and best_of > (params.whole("n", 1, least=1, most=MAX_CHOICES) or 1):
        raise params.refuse("best_of", "choosing among hidden answers is not served")


def _need_text_format(params: Params) -> None:
    wanted = params.inner("response_format")
    if "type" in wanted and wanted.text("type") != "text":
        raise params.refuse("response_format", 'only {"type": "text"} is served', code="unsupported_parameter")


def _messages(params: Params) -> list[Message]:
    messages = params.raw("messages")
    if not isinstance(messages, list) or not messages:
        raise params.refuse("messages", "expected a list with at least one message")
    return [_message(params, f"messages[{i}]", message) for i, message in enumerate(messages)]


def _message(params: Params, name: str, message: Any) -> Message:
    if not isinstance(message, dict):
        raise params.refuse(name, "expected an object")
    role = message.get("role")
    if role in ("tool", "function") or message.get("tool_calls"):
        raise params.refuse(f"{name}.role", "calls of tools are not served here", code="unsupported_value")
    if not isinstance(role, str) or role not in ROLES:
        raise params.refuse(f"{name}.role", f"expected one of {', '.join(ROLES)}", code="invalid_value")
    content = message.get("content")
    if content is None and role == "assistant":
        content = ""
    if isinstance(content, list):
        content = "".join(_part(params, f"{name}.content[{i}]", part) for i, part in enumerate(content))
    if not isinstance(content, str) or len(content) > MAX_TEXT:
        raise params.refuse(f"{name}.content", "expected a string or a list of text parts")
    return {"role": ROLES[role], "content": content}


def _part(params: Params, name: str, part: Any) -> str:
    if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        raise params.refuse(name, 'only parts {"type": "text", "text": ...} are served', code="invalid_value")
    return part["text"]


def _prompts(params: Params) -> list[list[Message]]:
    """Each prompt becomes one user's turn: the models have learnt from conversations."""
    prompt = params.raw("prompt")
    texts = [""] if prompt is None else prompt if isinstance(prompt, list) else [prompt]
    if not texts or not all(isinstance(text, str) and len(text) <= MAX_TEXT for text in texts):
        raise params.refuse("prompt", "expected a string or a list of strings; token ids are not served")
    if len(texts) > MAX_CHOICES:
        raise params.refuse("prompt", f"at most {MAX_CHOICES} prompts in one request")
    return [[{"role": "user", "content": text}] for text in texts]


def _stops(params: Params) -> list[str]:
    stops = params.raw("stop")
    stops = [] if stops is None else [stops] if isinstance(stops, str) else stops
    if (
        not isinstance(stops, list)
        or len(stops) > MAX_STOPS
        or not all(isinstance(stop, str) and 0 < len(stop) <= 1000 for stop in stops)
    ):
        raise params.refuse("stop", f"expected a string or a list of at most {MAX_STOPS} strings, none of them empty")
    return stops
