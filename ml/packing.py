"""Rows of tokens laid end to end, so that nothing is padded, and the steps that show them.

Sequences of one pack do not see each other: each has positions of its own and attends to itself and to the beginning
that all of them share, which is computed once (ml/attention.py).
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from ml.batch import n_shared_tokens
from ml.data import Encoded


class Corpus:
    """Encoded rows in two flat arrays: five bytes a token instead of a hundred in lists."""

    def __init__(self, rows: Iterable[Encoded]) -> None:
        ids, masks = [], []
        for row in rows:
            ids.append(torch.tensor(row.ids, dtype=torch.int32))
            masks.append(torch.tensor(row.mask, dtype=torch.uint8))
        self._ends = [0]
        for row in ids:
            self._ends.append(self._ends[-1] + len(row))
        self._ids = torch.cat(ids) if ids else torch.zeros(0, dtype=torch.int32)
        self._mask = torch.cat(masks) if masks else torch.zeros(0, dtype=torch.uint8)
        self.n_learnt = [int(mask[1:].sum()) for mask in masks]  # nothing predicts a first token

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, i: int) -> Encoded:
        span = slice(self._ends[i], self._ends[i + 1])
        return Encoded(ids=self._ids[span].tolist(), mask=self._mask[span].tolist())

    def length(self, i: int) -> int:
        return self._ends[i + 1] - self._ends[i]


@dataclass(frozen=True)
class Layout:
    """Where the sequences of a pack lie: the shared beginning first, then the rest of each sequence."""

    n_prefix: int
    lengths: tuple[int, ...]

    @property
    def n_tokens(self) -> int:
        return self.n_prefix + sum(self.lengths)

    def positions(self) -> list[int]:
        """The position of each token in its own sequence."""
        rests = (range(self.n_prefix, self.n_prefix + length) for length in self.lengths)
        return [*range(self.n_prefix), *(position for rest in rests for position in rest)]


@dataclass(frozen=True)
class Pack:
    """One pass through the model. `ids` and `positions`: (1, T).

    `places: (N,)` are the positions in the row of those tokens that predict a learnt one, `targets: (N,)` the learnt tokens,
    `rows: (N,)` the sequences that they are of, `weights: (N,)` how much each counts.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    places: torch.Tensor
    targets: torch.Tensor
    rows: torch.Tensor
    weights: torch.Tensor
    layout: Layout


def pack(rows: Sequence[Encoded], weights: Sequence[float], *, is_shared: bool = True) -> Pack:
    """Lay rows end to end; each learnt token of row i counts `weights[i]`. The first token of a row is never learnt.

    Example: rows [7 1 2 3] and [7 1 5], both learnt in their last token, become `ids` [7 | 1 2 3 | 1 5] with the positions
    [0 | 1 2 3 | 1 2]: the 2 at place 2 predicts 3, the 1 at place 4 predicts 5. Unless `is_shared`, the beginning that
    all rows share is repeated instead.
    """
    n_prefix = n_shared_tokens(rows) if is_shared and len(rows) > 1 else 0
    layout = Layout(n_prefix=n_prefix, lengths=tuple(len(row.ids) - n_prefix for row in rows))
    ids = list(rows[0].ids[:n_prefix])
    places: list[int] = []
    targets: list[int] = []
    numbers: list[int] = []
    counts: list[float] = []
    for number, (row, weight) in enumerate(zip(rows, weights, strict=True)):
        start = len(ids) - n_prefix
        learnt = [i for i in range(1, len(row.ids)) if row.mask[i]]
        places += [start + i - 1 for i in learnt]
        targets += [row.ids[i] for i in learnt]
        numbers += [number] * len(learnt)
        counts += [weight] * len(learnt)
        ids += row.ids[n_prefix:]
    return Pack(
        ids=torch.tensor([ids]),
        positions=torch.tensor([layout.positions()]),
        places=torch.tensor(places, dtype=torch.long),
        targets=torch.tensor(targets, dtype=torch.long),
        rows=torch.tensor(numbers, dtype=torch.long),
        weights=torch.tensor(counts, dtype=torch.float32),
        layout=layout,
    )


def split_rows(lengths: Sequence[int], *, max_tokens: int, n_processes: int = 1) -> list[list[int]]:
    """The rows of a step (by place) in packs of alike size, of about `max_tokens` each; a longer row is one of its own.

    Their number is a multiple of `n_processes`, so that every process has as many. A step of fewer rows than that has
    empty packs.
    """
    n_packs = max(1, math.ceil(sum(lengths) / max_tokens))
    n_packs = n_processes * math.ceil(n_packs / n_processes)
    packs: list[list[int]] = [[] for _ in range(n_packs)]
    sizes = [0] * n_packs
    for place in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):  # the longest first, each to the emptiest
        smallest = sizes.index(min(sizes))
        packs[smallest].append(place)
        sizes[smallest] += lengths[place]
    return packs if n_processes > 1 else [rows for rows in packs if rows]


@dataclass(frozen=True)
class BulkStep:
    """The rows (by index) of one optimiser step, and how many epochs have passed after it."""

    epoch: float
    examples: list[int]


def plan_bulk(weights: Sequence[float], *, n_epochs: int, batch_size: int, seed: int) -> list[BulkStep]:
    """All steps of the run. Every epoch shuffles anew.

    A row of the weight 1 appears once in every epoch, one of 2 twice, one of 0.5 in every second: which one, is drawn.
    """
    rng = random.Random(seed)
    offsets = [rng.random() for _ in weights]
    order: list[int] = []
    for epoch in range(n_epochs):
        shown = [
            row
            for row, (weight, offset) in enumerate(zip(weights, offsets, strict=True))
            for _ in range(math.floor(weight * (epoch + 1) + offset) - math.floor(weight * epoch + offset))
        ]
        rng.shuffle(shown)
        order += shown
    starts = range(0, len(order), batch_size)
    return [
        BulkStep(
            epoch=n_epochs * min(start + batch_size, len(order)) / len(order),
            examples=order[start : start + batch_size],
        )
        for start in starts
    ]
