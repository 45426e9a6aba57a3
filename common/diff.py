"""What changed between two texts, word by word; Chinese and Japanese, which set no spaces, character by character."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby, zip_longest

import regex

from common.conversations import Message

# Words, single ideographs and kana, runs of blanks, line ends, and anything else one by one.
_TOKENS = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}]|\n|[^\S\n]+|[\p{L}\p{M}\p{N}_]+?(?=[\p{Han}\p{Hiragana}\p{Katakana}])"
    r"|[\p{L}\p{M}\p{N}_]+(?:['’][\p{L}]+)*|."
)
# Matching is quadratic at worst: beyond this many tokens whole lines are compared.
MAX_TOKENS = 4000


@dataclass(frozen=True)
class Piece:
    """A stretch of text that is in both ("same"), only in the first ("removed") or only in the second ("added")."""

    kind: str
    text: str


def tokenize(text: str) -> list[str]:
    """Return the tokens, whose concatenation is the text."""
    return _TOKENS.findall(text)


def diff(before: str, after: str) -> list[Piece]:
    """Return the pieces in reading order. Without the added ones they spell `before`, without the removed ones `after`."""
    old, new = tokenize(before), tokenize(after)
    if len(old) + len(new) > MAX_TOKENS:
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    pieces = []
    for tag, a0, a1, b0, b1 in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(old[a0:a1])))
            continue
        pieces.append(Piece("removed", "".join(old[a0:a1])))
        pieces.append(Piece("added", "".join(new[b0:b1])))
    return _join_over_blanks([piece for piece in pieces if piece.text])


def diff_long(before: str, after: str) -> list[Piece]:
    """Return the pieces like `diff`, for documents: equal lines are found first, and what changed between them word by word."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    pieces: list[Piece] = []
    for tag, a0, a1, b0, b1 in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(old[a0:a1])))
        else:
            pieces += diff("".join(old[a0:a1]), "".join(new[b0:b1]))
    return _join_over_blanks([piece for piece in pieces if piece.text])


@dataclass(frozen=True)
class TurnDiff:
    """One turn of two conversations. `role` is that of the second, or of the first where the second has ended."""

    role: str
    pieces: list[Piece]

    @property
    def is_changed(self) -> bool:
        return any(piece.kind != "same" for piece in self.pieces)


def diff_turns(before: Sequence[Message], after: Sequence[Message]) -> list[TurnDiff]:
    """Return the turns of two conversations, compared one by one in their order."""
    return [
        TurnDiff((new or old)["role"], diff(old["content"] if old else "", new["content"] if new else ""))
        for old, new in zip_longest(before, after)
    ]


def _join_over_blanks(pieces: list[Piece]) -> list[Piece]:
    """Merge changes that only a blank separates, so that a rewritten phrase reads as one change."""
    spread: list[Piece] = []
    for index, piece in enumerate(pieces):
        is_between = 0 < index < len(pieces) - 1 and all(
            neighbour.kind != "same" for neighbour in (pieces[index - 1], pieces[index + 1])
        )
        if piece.kind == "same" and not piece.text.strip() and is_between:
            spread += [Piece("removed", piece.text), Piece("added", piece.text)]
        else:
            spread.append(piece)
    merged: list[Piece] = []
    for is_same, run in groupby(spread, key=lambda piece: piece.kind == "same"):
        stretch = list(run)
        for kind in ("same",) if is_same else ("removed", "added"):
            text = "".join(piece.text for piece in stretch if piece.kind == kind)
            if text:
                merged.append(Piece(kind, text))
    return merged
