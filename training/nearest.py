"""Which texts are nearest to a question and its answer, in meaning and in words.

Meaning: static embeddings of 256 dimensions that come inside the package wordllama (the mean of the tokens' vectors), compared
by cosine. They know Chinese badly, so that shared pairs of words (of characters, where words are not spaced) count as well.
Workers call this; the web processes must not carry numpy, so it is imported when it is called.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from heapq import nlargest
from itertools import islice
from pathlib import Path
from typing import Any

from labeling.findings.fingerprints import overlap, pair_words

BATCH = 1000
LONGEST = 2000  # characters of a text that are looked at
WORDS = 0.3  # what shared words count; the rest is meaning


@dataclass(frozen=True)
class Text:
    """A question and its answer; `key` is the caller's."""

    key: int
    question: str
    answer: str


@dataclass(frozen=True)
class Near:
    """How near a text is: 1 is the same, 0 has nothing in common. `score` is the mean of question and answer."""

    key: int
    score: float
    question: float
    answer: float


def nearest(question: str, answer: str, texts: Iterable[Text], *, n: int) -> list[Near]:
    """Return the `n` nearest texts, the nearest first. Texts are read in batches, never all at once."""
    asked, said = question[:LONGEST], answer[:LONGEST]
    own = _embed([asked, said])
    own_words = (pair_words(asked), pair_words(said))
    rows, found = iter(texts), list[Near]()
    while batch := list(islice(rows, BATCH)):
        meanings = [
            _embed([each.question[:LONGEST] for each in batch]) @ own[0],
            _embed([each.answer[:LONGEST] for each in batch]) @ own[1],
        ]
        for number, each in enumerate(batch):
            parts = [
                (1 - WORDS) * max(0.0, float(meaning[number])) + WORDS * overlap(words, pair_words(text[:LONGEST]))
                for meaning, words, text in zip(meanings, own_words, (each.question, each.answer), strict=True)
            ]
            found.append(Near(each.key, sum(parts) / 2, *parts))
        found = nlargest(n, found, key=lambda near: (near.score, -near.key))
    return found


def similarities(texts: Sequence[str], known: Iterable[str]) -> list[float]:
    """Return for each text how near the nearest of `known` is, by meaning alone: a cosine, 0 where nothing is known.

    `known` is read in batches, never all at once.
    """
    if not texts:
        return []
    own, rows = _embed([each[:LONGEST] for each in texts]), iter(known)
    highest = [0.0] * len(texts)
    while batch := list(islice(rows, BATCH)):
        near = (_embed([each[:LONGEST] for each in batch]) @ own.T).max(axis=0).tolist()
        highest = [max(pair) for pair in zip(highest, near, strict=True)]
    return highest


def _embed(texts: list[str]) -> Any:
    """Return unit vectors, (texts, 256); an empty text has the zero vector."""
    import numpy as np

    return np.nan_to_num(_model().embed([text or " " for text in texts], norm=True))


@cache
def _model() -> Any:
    """The embeddings of the package: 16 MB, loaded once in a process. The package looks for its tokenizer beside the place where
    it has it, so it is told; nothing is fetched."""
    import wordllama

    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
