"""Which of a project's texts a dataset version holds, by rules that are kept with it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from typing import Any

import orjson
from django.db.models import Avg, Exists, F, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Coalesce, NullIf

from common.conversations import Message, split_last
from labeling.findings.languages import detect_language
from labeling.models import Example, Grade, PreferencePair, Project
from labeling.models.qualification import RUBRIC
from training.actions.errors import BadComposition
from training.models import DatasetRow, DatasetVersion
from training.states import RowKind

BATCH_SIZE = 2000
MOST_WEIGHT = 20.0


@dataclass(frozen=True)
class Composition:
    """The rules. Each names what is taken; an empty one takes all.

    `kinds` of rows; `tags`, any of which an example has, and `without_tags`, none of which it has; the days from `since` to
    `until` on which it was accepted; its `authors` and none of `without_authors`, by key; the numbers of `instructions` that
    it follows; the `languages` of its last answer, as codes, where that can be told; `least_score`, the mean of its author's
    grades on the rubric, 1 to 7: what is graded is gold work, which is never a row itself. A row whose author has no grade is
    left out. `without` leaves out single rows, by their hash. `weights` says by kind how often an epoch shows a row,
    `replay_share` how many of the rows that an earlier version has already are kept, chosen by their hashes. `test_share` is
    held out for tests.
    """

    kinds: tuple[str, ...] = (RowKind.CORRECTION, RowKind.DEMONSTRATION)
    tags: tuple[str, ...] = ()
    without_tags: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    authors: tuple[int, ...] = ()
    without_authors: tuple[int, ...] = ()
    instructions: tuple[int, ...] = ()
    languages: tuple[str, ...] = ()
    least_score: float | None = None
    without: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    replay_share: float = 1.0
    test_share: float = 0.0

    def __post_init__(self) -> None:
        if not self.kinds or not set(self.kinds) <= set(RowKind.values):
            raise BadComposition("kinds")
        for name in ("since", "until"):
            if value := getattr(self, name):
                try:
                    date.fromisoformat(value)
                except ValueError:
                    raise BadComposition(name) from None
        if self.since and self.until and self.since > self.until:
            raise BadComposition("until")
        if not set(self.weights) <= set(RowKind.values) or not all(0 < w <= MOST_WEIGHT for w in self.weights.values()):
            raise BadComposition("weights")
        if not 0 <= self.replay_share <= 1:
            raise BadComposition("replay_share")
        if not 0 <= self.test_share <= 0.5:
            raise BadComposition("test_share")

    def as_json(self) -> dict[str, Any]:
        """Return the rules that differ from those of a version of all examples."""
        plain = asdict(Composition())
        return {name: value for name, value in asdict(self).items() if value != plain[name]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Composition":
        """Raises BadComposition for what does not make sense."""
        known = {each.name for each in fields(cls)}
        if not set(values) <= known:
            raise BadComposition(min(set(values) - known))
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        try:
            return cls(**{**values, **lists})
        except (TypeError, AttributeError):
            raise BadComposition("") from None

    def weight(self, kind: str) -> float:
        return self.weights.get(kind, 1.0)


@dataclass(slots=True)
class Candidate:
    """A text that may be frozen: an example (`pair_pk` None) or a comparison's two answers (`example_pk` None)."""

    example_pk: int | None
    pair_pk: int | None
    kind: str
    messages: list[Message]
    rejected: str | None
    is_old: bool = False


def chosen_examples(project: Project, rules: Composition) -> "QuerySet[Example]":
    rows = Example.objects.filter(project=project).trainable().filter(kind__in=rules.kinds)
    if rules.tags:
        rows = rows.filter(pk__in=_tagged(rules.tags))
    if rules.without_tags:
        rows = rows.exclude(pk__in=_tagged(rules.without_tags))
    if rules.since:
        rows = rows.filter(accepted_at__date__gte=rules.since)
    if rules.until:
        rows = rows.filter(accepted_at__date__lte=rules.until)
    if rules.authors:
        rows = rows.filter(author__in=rules.authors)
    if rules.without_authors:
        rows = rows.exclude(author__in=rules.without_authors)
    if rules.instructions:
        rows = rows.filter(instruction_version__number__in=rules.instructions)
    if rules.least_score is not None:
        grades = Grade.objects.filter(submission__project=project).order_by().values("submission__author")
        means = grades.annotate(
            mean_grade=Avg(sum((F(name) for name in RUBRIC), start=Value(0.0)) / float(len(RUBRIC)))
        )
        rows = rows.filter(author__in=means.filter(mean_grade__gte=rules.least_score).values("submission__author"))
    return rows


def _tagged(names: Sequence[str]) -> "QuerySet[Any]":
    return Example.tags.through.objects.filter(tag__name__in=names).values("example_id")


def chosen_pairs(project: Project, rules: Composition) -> "QuerySet[PreferencePair]":
    """The comparisons' pairs. They have neither tags nor one author, so rules that ask for those leave them out."""
    if RowKind.PAIR not in rules.kinds or rules.tags or rules.authors or rules.instructions or rules.least_score:
        return PreferencePair.objects.none()
    rows = PreferencePair.objects.filter(project=project, comparison__isnull=False, retracted_at__isnull=True)
    if rules.without_authors:
        wrote = Q(comparison__submission_a__author__in=rules.without_authors)
        rows = rows.exclude(wrote | Q(comparison__submission_b__author__in=rules.without_authors))
    if rules.since:
        rows = rows.filter(comparison__created_at__date__gte=rules.since)
    if rules.until:
        rows = rows.filter(comparison__created_at__date__lte=rules.until)
    return rows


def candidates(project: Project, rules: Composition) -> Iterator[Candidate]:
    """Yield what the rules take: corrections first, then the others, each in the order of their keys."""
    earlier = project.dataset_versions.own() if rules.replay_share < 1 else None
    examples = chosen_examples(project, rules)
    for is_correction in (True, False):
        rows = examples.filter(Q(kind=RowKind.CORRECTION) if is_correction else ~Q(kind=RowKind.CORRECTION))
        for pk, kind, messages, rejected, is_old in _values(
            rows, earlier, "example", "kind", text_of("messages"), worse_answer()
        ):
            messages = orjson.loads(messages)
            if _speaks(rules, messages):
                yield Candidate(pk, None, kind, messages, rejected, is_old)
    for pk, prompt, chosen, rejected, is_old in _values(
        chosen_pairs(project, rules), earlier, "pair", text_of("messages"), "chosen", "rejected"
    ):
        messages = [*orjson.loads(prompt), {"role": "assistant", "content": chosen}]
        if _speaks(rules, messages):
            yield Candidate(None, pk, RowKind.PAIR, messages, rejected, is_old)


def text_of(name: str) -> Cast:
    """A JSON column as its text, which orjson reads in a fraction of the time that the field takes."""
    return Cast(name, TextField())


def worse_answer() -> Coalesce:
    """What an example's answer is better than: of an imported pair its own field, of a correction the case's wrong output."""
    return Coalesce("rejected", NullIf("correction__case__wrong_output", Value("", output_field=TextField())))


def _values(
    rows: "QuerySet[Any]", earlier: "QuerySet[DatasetVersion] | None", source: str, *names: str | Cast | Coalesce
) -> Iterator[tuple[Any, ...]]:
    rows = rows.order_by("pk")
    if earlier is None:
        for values in rows.values_list("pk", *names).iterator(chunk_size=BATCH_SIZE):
            yield *values, False
        return
    old = Exists(DatasetRow.objects.filter(version__in=earlier, **{source: OuterRef("pk")}))
    yield from rows.annotate(is_old=old).values_list("pk", *names, "is_old").iterator(chunk_size=BATCH_SIZE)


def _speaks(rules: Composition, messages: list[Message]) -> bool:
    return not rules.languages or detect_language(split_last(messages)[1]) in rules.languages
