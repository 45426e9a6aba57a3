"""Guessing how an answer goes on, so that one pass over the weights can give several tokens.

Prompt lookup decoding (A. Saxena, 2023; N. Yang et al., "Inference with Reference", 2023): what stood behind the last tokens before
probably stands behind them again, in a text that is corrected or quoted, in lists, in code. The model reads the guess at once with
the last token, and what it would not have said itself is thrown away: the answer is the same, it only comes sooner.
"""

from array import array
from collections.abc import Iterable

import numpy as np

MOST_SHARED = 3  # last tokens that have to be the same at best


class Drafter:
    """The tokens of a conversation, prompt and answer, as far as they are known."""

    def __init__(self, tokens: Iterable[int]):
        self._tokens = array("i", tokens)

    def append(self, token: int) -> None:
        self._tokens.append(token)

    def draft(self, n_most: int) -> list[int]:
        """Up to so many tokens, as they went on where the last tokens stood before: as many of these as can be found,
        and the latest such place. A place near the end is gone on from as if the text repeated itself."""
        if n_most <= 0 or not self._tokens:
            return []
        tokens = np.frombuffer(self._tokens, dtype=np.intc)
        places = np.flatnonzero(tokens[:-1] == tokens[-1]) + 1  # where the next token stood
        if not len(places):
            return []
        for n_shared in range(2, min(MOST_SHARED, len(tokens) - 1) + 1):
            longer = places[places >= n_shared]
            longer = longer[tokens[longer - n_shared] == tokens[-n_shared]]
            if not len(longer):
                break
            places = longer
        start = int(places[-1])
        return np.resize(tokens[start:], n_most).tolist()
