"""Finding near-duplicates of what is handed in among the submissions and examples of the project."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from common.conversations import Message
from labeling.findings.fingerprints import (
    NEARLY_THE_SAME,
    band_keys,
    estimate_overlap,
    overlap,
    pair_words,
    sketch_pairs,
)
from labeling.models import Example, Fingerprint, FingerprintBand, Submission, Task, User
from labeling.states import SubmissionState, TaskKind

# Fewer pairs of words say nothing: many prompts may be answered by "Yes, of course."
FEWEST_PAIRS = {"prompt": 3, "answer": 11}
_MOST_BANDS, _MOST_SKETCHES, _MOST_TEXTS = 2000, 100, 10
_DOUBT = 0.2  # three standard deviations of the estimate
_GONE = (SubmissionState.REVISED, SubmissionState.REJECTED, SubmissionState.WITHDRAWN)

Pairs = dict[str, frozenset[str]]


@dataclass(frozen=True)
class Similar:
    """The submission or example that a text resembles. `part`: its prompt or its answer; `share`: how much, up to 1."""

    part: str
    share: float
    submission: Submission | None
    example: Example | None


def pairs_by_part(messages: list[Message], n_given: int) -> Pairs:
    """Return the pairs of words of what a person wrote, without the `n_given` turns of the task and system messages."""
    written = messages[n_given:]
    texts = {
        "prompt": "\n".join(turn["content"] for turn in written if turn["role"] == "user") if not n_given else "",
        "answer": "\n".join(turn["content"] for turn in written if turn["role"] == "assistant"),
    }
    pairs = {part: pair_words(text) for part, text in texts.items()}
    return {part: pairs[part] for part in pairs if len(pairs[part]) >= FEWEST_PAIRS[part]}


def n_given_turns(task: Task) -> int:
    return len(task.messages) if task.kind == TaskKind.ANSWER else 0


def find_similar(*, task: Task, messages: list[Message], by: User) -> Similar | None:
    """Return what the text resembles most, None where nothing in the project is nearly the same.

    The person's own texts for the same task are former tries at it, not duplicates; what was rejected or withdrawn is gone.
    """
    best: Similar | None = None
    for part, pairs in pairs_by_part(messages, n_given_turns(task)).items():
        for row in _candidates(task, part, pairs, by):
            share = overlap(pairs, _pairs_of(row).get(part, frozenset()))
            if share >= NEARLY_THE_SAME and (best is None or share > best.share):
                best = Similar(part=part, share=share, submission=row.submission, example=row.example)
    return best


def _candidates(task: Task, part: str, pairs: frozenset[str], by: User) -> list[Fingerprint]:
    """Return the fingerprints of texts that are perhaps nearly the same, the likeliest first."""
    sketch = sketch_pairs(pairs)
    keys = band_keys(sketch, space=f"{task.project_id}:{part}")
    counts = Counter(
        FingerprintBand.objects.filter(key__in=keys).values_list("fingerprint_id", flat=True)[:_MOST_BANDS]
    )
    likeliest = [pk for pk, _n in counts.most_common(_MOST_SKETCHES)]
    shares = {
        pk: estimate_overlap(sketch, bytes(other))
        for pk, other in Fingerprint.objects.filter(pk__in=likeliest).values_list("pk", "sketch")
    }
    near = [pk for pk in shares if shares[pk] >= NEARLY_THE_SAME - _DOUBT]
    if not near:
        return []
    own_try = Q(submission__task=task, submission__author=by) | Q(
        example__submission__task=task, example__submission__author=by
    )
    gone = Q(submission__state__in=_GONE) | Q(example__retracted_at__isnull=False)
    rows = Fingerprint.objects.filter(pk__in=near).exclude(own_try).exclude(gone)
    rows = rows.select_related("submission__task", "example__submission__task")
    return sorted(rows, key=lambda row: -shares[row.pk])[:_MOST_TEXTS]


def _pairs_of(row: Fingerprint) -> Pairs:
    if row.submission is not None:
        return pairs_by_part(row.submission.messages, n_given_turns(row.submission.task))
    assert row.example is not None
    return _pairs_of_example(row.example)


def _pairs_of_example(example: Example) -> Pairs:
    if example.submission is not None:
        return pairs_by_part(example.messages, n_given_turns(example.submission.task))
    return pairs_by_part(example.messages, len(example.messages) - 1)


def fingerprint_submissions(rows: Iterable[Submission]) -> None:
    _write((Fingerprint(submission=row), row.project_id, pairs_by_part(row.messages, n_given_turns(row.task))) for row in rows)  # fmt: skip


def fingerprint_examples(rows: Iterable[Example]) -> None:
    """Write the fingerprints of examples; one that is its submission word for word is found by that one's."""
    _write(
        (Fingerprint(example=row), row.project_id, _pairs_of_example(row))
        for row in rows
        if row.submission is None or row.submission.messages != row.messages
    )


def _write(items: Iterable[tuple[Fingerprint, int, Pairs]]) -> None:
    fingerprints, keys = [], []
    for item, project_pk, parts in items:
        for part, pairs in parts.items():
            sketch = sketch_pairs(pairs)
            fingerprints.append(
                Fingerprint(submission_id=item.submission_id, example_id=item.example_id, part=part, sketch=sketch)
            )
            keys.append(band_keys(sketch, space=f"{project_pk}:{part}"))
    if connection.vendor == "postgresql" and len(fingerprints) <= 2:
        _write_at_once(fingerprints, keys)
        return
    Fingerprint.objects.bulk_create(fingerprints)
    FingerprintBand.objects.bulk_create(
        FingerprintBand(key=key, fingerprint_id=row.pk)
        for row, own in zip(fingerprints, keys, strict=True)
        for key in set(own)
    )


def _write_at_once(fingerprints: list[Fingerprint], keys: list[list[int]]) -> None:
    """Write each with its bands in one statement: those of one text, as it is handed in."""
    sql = f"""
        WITH written AS (
            INSERT INTO {Fingerprint._meta.db_table} (submission_id, example_id, part, sketch)
            VALUES (%s, %s, %s, %s) RETURNING id)
        INSERT INTO {FingerprintBand._meta.db_table} (key, fingerprint_id)
        SELECT unnest(%s::bigint[]), id FROM written"""
    with connection.cursor() as cursor:
        for row, own in zip(fingerprints, keys, strict=True):
            cursor.execute(sql, [row.submission_id, row.example_id, row.part, bytes(row.sketch), list(set(own))])


def fill_in(on_batch: Callable[[int], None] = lambda n: None, *, size: int = 500, anew: bool = False) -> None:
    """Write the fingerprints that are missing, in batches of a transaction each; `anew`: throw all away first.

    `on_batch` hears how many rows were looked at.
    """
    if anew:
        FingerprintBand.objects.all().delete()
        Fingerprint.objects.all().delete()
    submissions = Submission.objects.filter(~Exists(Fingerprint.objects.filter(submission=OuterRef("pk"))))
    _in_batches(submissions.select_related("task"), fingerprint_submissions, size, on_batch)
    examples = Example.objects.filter(~Exists(Fingerprint.objects.filter(example=OuterRef("pk"))))
    _in_batches(examples.select_related("submission__task"), fingerprint_examples, size, on_batch)


def _in_batches(
    rows: QuerySet[Any], write: Callable[[Iterable[Any]], None], size: int, on_batch: Callable[[int], None]
) -> None:
    last = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk")[:size]):
        with transaction.atomic():
            write(batch)
        last = batch[-1].pk
        on_batch(len(batch))
