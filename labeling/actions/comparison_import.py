"""Comparisons in bulk: from a JSONL file, and from tasks that two people answered (docs/comparisons.md)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

from django.utils.translation import gettext as _

from labeling.actions.comparison import new_comparison
from labeling.actions.errors import LabelingError
from labeling.models import Comparison, Project, Submission, User
from labeling.queries.judging import doubly_answered
from labeling.states import ComparisonSource

BATCH_SIZE = 500


@dataclass
class ImportedComparisons:
    """`bad_lines` holds number, reason and line."""

    n_added: int = 0
    n_there: int = 0
    bad_lines: list[tuple[int, str, str]] = field(default_factory=list)


def import_comparisons(*, project: Project, lines: Iterable[str], n_people: int, by: User) -> ImportedComparisons:
    """Queue one comparison a line: {"prompt" or "messages", "answer_a", "answer_b", "origin_a", "origin_b"}.

    A bad line stops nothing; one that is there already is counted. Blank lines count as nothing.
    """
    result = ImportedComparisons()
    rows: list[Comparison] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(_read(line, project=project, n_people=n_people, by=by))
        except (LabelingError, ValueError, RecursionError) as error:
            reason = _("is not JSON") if isinstance(error, json.JSONDecodeError | RecursionError) else str(error)
            result.bad_lines.append((number, reason, line))
    _save(project, rows, result)
    return result


def pair_submissions(*, project: Project, by: User) -> ImportedComparisons:
    """Queue a comparison of the two oldest texts of each prompt that two people answered; the authors do not judge it."""
    result = ImportedComparisons()
    rows: list[Comparison] = []
    for _task, group in groupby(doubly_answered(project), key=lambda submission: submission.task_id):
        firsts = {each.author_id: each for each in reversed(list(group))}
        a, b = sorted(firsts.values(), key=lambda submission: submission.pk)[:2]
        if a.messages[:-1] != b.messages[:-1]:
            continue  # they led the conversation to different last turns
        try:
            rows.append(
                new_comparison(
                    project=project,
                    messages=a.messages[:-1],
                    answers=(a.messages[-1]["content"], b.messages[-1]["content"]),
                    origins=(_origin(a), _origin(b)),
                    source=ComparisonSource.SUBMISSIONS,
                    submissions=(a, b),
                    by=by,
                )
            )
        except LabelingError:  # equal texts, or a prompt that is held out: nothing to compare
            continue
    _save(project, rows, result)
    return result


def _origin(submission: Submission) -> str:
    return f"{submission.author}, submission {submission.pk}"


def _save(project: Project, rows: list[Comparison], result: ImportedComparisons) -> None:
    wanted: dict[str, Comparison] = {}
    for row in rows:
        wanted.setdefault(row.content_hash, row)
    ordered = list(wanted.values())
    known: set[str] = set()
    for start in range(0, len(ordered), BATCH_SIZE):
        hashes = [row.content_hash for row in ordered[start : start + BATCH_SIZE]]
        there = Comparison.objects.filter(project=project, content_hash__in=hashes)
        known |= set(there.values_list("content_hash", flat=True))
    new = [row for row in ordered if row.content_hash not in known]
    Comparison.objects.bulk_create(new, batch_size=BATCH_SIZE, ignore_conflicts=True)
    result.n_added = len(new)
    result.n_there = len(rows) - len(new)


def _read(line: str, *, project: Project, n_people: int, by: User) -> Comparison:
    """Return the comparison of one line. Raises ValueError or LabelingError with the reason as text."""
    row = json.loads(line.removeprefix("\ufeff"))
    if not isinstance(row, dict):
        raise ValueError(_("is not a JSON object"))
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can spell, is no text
        raise ValueError(_("holds a character that is no text")) from None
    if ("prompt" in row) == ("messages" in row):
        raise ValueError(_("needs either prompt or messages"))
    messages = row["messages"] if "messages" in row else [{"role": "user", "content": row["prompt"]}]
    texts = [row.get(name) for name in ("answer_a", "answer_b")]
    origins = [row.get(name) or "" for name in ("origin_a", "origin_b")]
    if not all(isinstance(text, str) and text.replace("\x00", "").strip() for text in texts):
        raise ValueError(_("answer_a or answer_b is missing, empty or not a text"))
    if not all(isinstance(origin, str) for origin in origins):
        raise ValueError(_("origin_a or origin_b is not a text"))
    return new_comparison(
        project=project,
        messages=messages,
        answers=(str(texts[0]), str(texts[1])),
        origins=(origins[0].replace("\x00", ""), origins[1].replace("\x00", "")),
        source=ComparisonSource.IMPORT,
        n_people=n_people,
        by=by,
    )
