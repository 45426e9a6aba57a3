"""What a retraction would take out: a person's texts, and what was made of them."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from django.db.models import Exists, OuterRef, Q

from labeling.models import Comparison, Correction, Example, PreferencePair, Project, RegressionTest, User, Vote
from labeling.models.example import ExampleQuerySet
from labeling.states import ExampleKind, Verdict

BATCH = 400
T = TypeVar("T")


def batches(rows: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Yield the rows some at a time, as many as a statement of every database takes."""
    left = iter(rows)
    while some := list(islice(left, size)):
        yield some


def work_of(project: Project, person: User) -> ExampleQuerySet:
    """Return the examples that hold the person's words: written, corrected, or edited by them as the reviewer."""
    edited = Q(submission__review__reviewer=person, submission__review__verdict=Verdict.EDIT)
    rows = Example.objects.filter(Q(author=person) | edited, project=project)
    return rows | Example.objects.filter(pk__in=_shared(project, person), project=project)


def _shared(project: Project, person: User) -> list[int]:
    """Return the examples of other people's corrections that say what a correction of the person says, word for word."""
    leaning = Correction.objects.filter(case__project=project, author=person, example__isnull=True)
    texts = set(leaning.values_list("case__prompt_hash", "text"))
    return [pk for pk, key in _corrected(project, texts) if key in texts]


def _corrected(project: Project, texts: Iterable[tuple[str, str]]) -> Iterator[tuple[int, tuple[str, str]]]:
    for some in batches({prompt_hash for prompt_hash, _text in texts}):
        rows = Example.objects.filter(project=project, kind=ExampleKind.CORRECTION, prompt_hash__in=some)
        for pk, prompt_hash, messages in rows.values_list("pk", "prompt_hash", "messages"):
            yield pk, (prompt_hash, messages[-1]["content"])


def pairs_with(project: Project, examples: Iterable[Example]) -> list[int]:
    """Return the preference pairs in use that are made of these examples or set one of their texts beside another."""
    in_use = PreferencePair.objects.filter(project=project, retracted_at__isnull=True)
    found: set[int] = set()
    for some in batches(examples):
        found.update(in_use.filter(correction__example__in=[row.pk for row in some]).values_list("pk", flat=True))
        texts = {(row.prompt_hash, row.messages[-1]["content"]) for row in some}
        corrected = {
            (row.prompt_hash, row.messages[-1]["content"]) for row in some if row.kind == ExampleKind.CORRECTION
        }
        hashes = [row.prompt_hash for row in some]
        of_cases = in_use.filter(correction__case__prompt_hash__in=hashes)
        for pk, prompt_hash, chosen in of_cases.values_list("pk", "correction__case__prompt_hash", "chosen"):
            if (prompt_hash, chosen) in corrected:
                found.add(pk)
        compared = in_use.filter(comparison__prompt_hash__in=hashes)
        for pk, key, chosen, rejected in compared.values_list("pk", "comparison__prompt_hash", "chosen", "rejected"):
            if (key, chosen) in texts or (key, rejected) in texts:
                found.add(pk)
    return sorted(found)


def tests_with(project: Project, examples: Iterable[Example]) -> list[int]:
    """Return the active tests that expect what these corrections say; their probes go with them."""
    active = RegressionTest.objects.filter(project=project, is_active=True)
    found: set[int] = set()
    for some in batches(examples):
        corrected = {
            (row.prompt_hash, row.messages[-1]["content"]) for row in some if row.kind == ExampleKind.CORRECTION
        }
        found.update(active.filter(correction__example__in=[row.pk for row in some]).values_list("pk", flat=True))
        rows = active.filter(correction__case__prompt_hash__in=[key for key, _text in corrected])
        for pk, key, chosen in rows.values_list("pk", "correction__case__prompt_hash", "chosen"):
            if (key, chosen) in corrected:
                found.add(pk)
    return sorted(found)


def pairs_judged_by(project: Project, person: User, *, in_use: bool = True) -> list[int]:
    """Return the pairs that hold an answer of the person, or would not be there without their vote: those in use, or all."""
    votes = Vote.objects.filter(comparison=OuterRef("comparison"), person=person)
    theirs = Q(comparison__submission_a__author=person) | Q(comparison__submission_b__author=person)
    rows = PreferencePair.objects.filter(Exists(votes) | theirs, project=project)
    rows = rows.filter(retracted_at__isnull=True) if in_use else rows
    found = []
    for row in rows.select_related("comparison__submission_a", "comparison__submission_b").prefetch_related(
        "comparison__votes"
    ):
        comparison = row.comparison
        assert comparison is not None  # the conditions above ask for one
        if _wrote(comparison, person) or not _stands_without(comparison, person):
            found.append(row.pk)
    return found


def _wrote(comparison: Comparison, person: User) -> bool:
    answers = (comparison.submission_a, comparison.submission_b)
    return any(answer is not None and answer.author_id == person.pk for answer in answers)


def _stands_without(comparison: Comparison, person: User) -> bool:
    """Whether more than half of the other votes say what the comparison's outcome says."""
    others = [vote.outcome for vote in comparison.votes.all() if vote.person_id != person.pk]
    return 2 * others.count(comparison.outcome) > len(others)  # type: ignore[arg-type] # a str with the same value
