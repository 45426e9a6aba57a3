"""TRL's conversational rows: prompt and completion to learn an answer, prompt, chosen and rejected to prefer one."""

from typing import Any

from training.formats.row import Row, answer, as_list, one_answer, read_row


def write_sft(row: Row) -> dict[str, Any]:
    return {"prompt": row.messages[:-1], "completion": [answer(row.messages[-1]["content"])]}


def is_sft(value: dict[str, Any]) -> bool:
    return isinstance(value.get("prompt"), list) and "completion" in value


def read_sft(value: dict[str, Any]) -> list[Row]:
    turns = as_list(value.get("prompt"), "prompt")
    return [read_row([*turns, answer(one_answer(value.get("completion"), "completion"))], field="prompt")]


def write_preference(row: Row) -> dict[str, Any]:
    return {
        "prompt": row.messages[:-1],
        "chosen": [answer(row.messages[-1]["content"])],
        "rejected": [answer(row.rejected or "")],
    }


def is_preference(value: dict[str, Any]) -> bool:
    return isinstance(value.get("chosen"), str | list) and "rejected" in value and "instruction" not in value


def read_preference(value: dict[str, Any]) -> list[Row]:
    """The prompt may be a text, and may stand inside of both answers instead: what they begin with alike is the prompt."""
    chosen, rejected, prompt = value["chosen"], value["rejected"], value.get("prompt")
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if isinstance(chosen, list) and isinstance(rejected, list):
        if len(chosen) > 1 and len(rejected) > 1 and chosen[:-1] == rejected[:-1]:
            prompt, chosen, rejected = chosen[:-1], chosen[-1:], rejected[-1:]
        chosen, rejected = one_answer(chosen, "chosen"), one_answer(rejected, "rejected")
    return [read_row([*as_list(prompt, "prompt"), answer(chosen)], rejected, field="prompt")]
