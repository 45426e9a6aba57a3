"""OpenAssistant's message trees: a first prompt and its replies, each with replies of its own."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from common.conversations import Message, digest
from training.formats.row import BadValue, Row, as_list, read_row, text_of

WRITTEN = {"user": "prompter", "assistant": "assistant"}
READ = {"prompter": "user", "user": "user", "assistant": "assistant"}


def write(row: Row) -> dict[str, Any]:
    """A row is a tree of its own: one branch, whose last message has the rank 0, its rejected answer beside it the rank 1."""
    whole = digest([row.messages, row.rejected])
    key = [str(UUID(digest([whole, at])[:32])) for at in range(len(row.messages) + 1)]
    last, at = row.messages[-1], len(row.messages) - 1
    replies = [_node(key[at], last, [], rank=0 if row.rejected is not None else None)]
    if row.rejected is not None:
        replies.append(_node(key[-1], {"role": "assistant", "content": row.rejected}, [], rank=1))
    for at in range(len(row.messages) - 2, -1, -1):
        replies = [_node(key[at], row.messages[at], replies)]
    return {"message_tree_id": replies[0]["message_id"], "tree_state": "ready_for_export", "prompt": replies[0]}


def _node(key: str, turn: Message, replies: list[Any], *, rank: int | None = None) -> dict[str, Any]:
    node = {"message_id": key, "text": turn["content"], "role": WRITTEN[turn["role"]], "replies": replies}
    return node if rank is None else node | {"rank": rank}


def detects(value: dict[str, Any]) -> bool:
    return isinstance(value.get("prompt"), dict) and "replies" in value["prompt"]


def read(value: dict[str, Any]) -> list[Row]:
    """Each place where the tree ends in answers gives a row: the best ranked one, the worst ranked one as rejected."""
    rows: list[Row] = []
    for turns, rejected, field in _ends(value.get("prompt"), "prompt", []):
        rows.append(read_row(turns, rejected, field=field))
    if not rows:
        raise BadValue("prompt", _("has no branch that ends with the assistant"))
    return rows


def _ends(root: Any, name: str, before: list[Message]) -> Iterator[tuple[list[Message], str | None, str]]:
    """Yield (turns, rejected, field); without recursion, for a tree may be deep."""
    waiting = [(root, name, before)]
    while waiting:
        node, field, path = waiting.pop()
        turns = [*path, _turn(node, field)]
        replies = as_list(node.get("replies") or [], f"{field}.replies")
        ends = []
        branches = []
        for at, reply in enumerate(replies):
            place = f"{field}.replies[{at}]"
            turn = _turn(reply, place)
            if turn["role"] == "assistant" and not reply.get("replies") and not reply.get("deleted"):
                ends.append((reply, turn))
            else:
                branches.append((reply, place, turns))
        waiting += reversed(branches)
        if not ends:
            continue
        ranked = sorted(
            (each for each in ends if isinstance(each[0].get("rank"), int)), key=lambda each: each[0]["rank"]
        )
        if len(ranked) > 1:
            yield [*turns, ranked[0][1]], ranked[-1][1]["content"], field
        else:
            yield from (([*turns, turn], None, field) for _reply, turn in ends)


def _turn(node: Any, field: str) -> Message:
    if not isinstance(node, dict):
        raise BadValue(field, _("is not a message"))
    role = READ.get(str(node.get("role")))
    if role is None:
        raise BadValue(f"{field}.role", _("is not prompter or assistant"))
    text = text_of(node.get("text"), f"{field}.text")
    if not text.strip():
        raise BadValue(f"{field}.text", _("is empty"))
    return {"role": role, "content": text}
