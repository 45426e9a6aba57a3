"""What a version would hold, before it is frozen."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice

from django.db.models import Count, QuerySet

from labeling.findings.languages import detect_language
from labeling.models import Example, Project
from training.actions.composition import Composition, chosen_examples, chosen_pairs
from training.actions.dataset import choose
from training.actions.splits import assign, opening
from training.states import RowKind

# Of more rows than this only what the database counts by itself is shown.
MOST = 20_000


@dataclass
class Preview:
    """Numbers of rows: in all, by kind, by author's key and by version of the instructions (None where there is none), and, where
    the texts were read (`is_whole`), by split and by language ("" where that is uncertain)."""

    n_rows: int = 0
    is_whole: bool = True
    kinds: Counter[str] = field(default_factory=Counter)
    authors: Counter[int | None] = field(default_factory=Counter)
    instructions: Counter[int | None] = field(default_factory=Counter)
    splits: Counter[str | None] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)


def preview_dataset(*, project: Project, composition: Composition) -> Preview:
    """Count what freezing would take. Above MOST rows the rules that need the texts (languages, exclusions) are not applied."""
    n_pairs = chosen_pairs(project, composition).count()
    examples = chosen_examples(project, composition)
    n_rows = examples.count() + n_pairs
    found = Preview(n_rows=n_rows, is_whole=n_rows <= MOST)
    if not found.is_whole:
        found.kinds.update(dict(examples.order_by().values_list("kind").annotate(Count("pk"))))
        found.kinds[RowKind.PAIR] = n_pairs
        _count_sources(found, examples)
        return found
    rows, keys = [], []
    for row, _row_hash in islice(choose(project, composition), MOST):
        rows.append((row.kind, opening(row.messages)))
        found.languages[detect_language(row.messages[-1]["content"]) or ""] += 1
        keys.append(row.example_pk)
    found.n_rows = len(rows)
    found.kinds.update(kind for kind, _opening in rows)
    found.splits.update(assign(rows, test_share=composition.test_share))
    _count_sources(found, Example.objects.filter(pk__in=[key for key in keys if key]))
    return found


def _count_sources(found: Preview, examples: "QuerySet[Example]") -> None:
    found.authors.update(dict(examples.order_by().values_list("author").annotate(Count("pk"))))
    found.instructions.update(
        dict(examples.order_by().values_list("instruction_version__number").annotate(Count("pk")))
    )
