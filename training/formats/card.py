"""The card of a dataset folder: what the Hub reads from its head, and what a person reads below it."""

import json
from typing import Any

from django.db.models import Count

from training.models import DatasetVersion

SPLITS = {"train": "train", "valid": "validation", "test": "test"}
SIZES = ((1000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
LARGEST = "n>1M"
KINDS = {"demonstration": "Demonstrations", "correction": "Corrections", "pair": "Compared pairs"}


def write_card(version: DatasetVersion, *, split: str = "", licence: str = "unknown") -> str:
    """Return README.md. In English, of frozen facts only and without a date: one version has one card for ever."""
    rows = version.rows.order_by()
    rows = rows.filter(split=split) if split else rows
    counts = rows.values("split", "kind").annotate(n=Count("pk"))
    by_kind = {(SPLITS.get(row["split"], row["split"]), row["kind"]): row["n"] for row in counts}
    splits = [name for name in SPLITS.values() if any(key[0] == name for key in by_kind)]
    kinds = sorted({kind for _split, kind in by_kind})
    n_by_split = {name: sum(by_kind.get((name, kind), 0) for kind in kinds) for name in splits}
    n_rows = sum(n_by_split.values())
    n_pairs = rows.filter(rejected__isnull=False).count()
    n_people = rows.exclude(example__author=None).values("example__author").distinct().count()
    instructions = rows.exclude(example__instruction_version=None).values_list(
        "example__instruction_version__number", flat=True
    )
    head = [
        "---",
        f"license: {json.dumps(licence)}",
        f"pretty_name: {json.dumps(f'{version.project.slug} v{version.number}')}",
        "task_categories:",
        "- text-generation",
        "size_categories:",
        f"- {next((name for limit, name in SIZES if n_rows < limit), LARGEST)}",
        "configs:",
        "- config_name: default",
        "  data_files:",
        *(line for name in splits for line in (f"  - split: {name}", f"    path: data/{name}-*.parquet")),
        "---",
    ]
    body = [
        "",
        f"# {version.project.slug}, dataset version {version.number}",
        "",
        f"{n_rows} conversations that end with the answer to learn; {n_pairs} of them with a rejected answer.",
        "",
        *_table(
            ["split", *(KINDS.get(kind, kind) for kind in kinds), "all"], _lines(splits, kinds, by_kind, n_by_split)
        ),
        "",
        f"- Content hash (SHA-256 over the rows' hashes and splits, in order): `{version.content_hash}`",
        f"- Licence: {licence}",
        f"- Written or corrected by {n_people} people",
        f"- Versions of the instructions: {', '.join(map(str, sorted(set(instructions)))) or 'none'}",
        "",
        "| column | |",
        "|---|---|",
        "| `split` | train, valid or test, as frozen |",
        f"| `kind` | {', '.join(kinds) or 'none'} |",
        "| `messages` | role and content: at most one system message, then user and assistant by turns |",
        "| `rejected` | the worse answer to the same prompt, null where there is none |",
        "",
    ]
    return "\n".join(head + body)


def _lines(
    splits: list[str], kinds: list[str], by_kind: dict[tuple[Any, Any], int], n_by_split: dict[str, int]
) -> list[list[str]]:
    return [[name, *(str(by_kind.get((name, kind), 0)) for kind in kinds), str(n_by_split[name])] for name in splits]


def _table(head: list[str], lines: list[list[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, lines)]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
