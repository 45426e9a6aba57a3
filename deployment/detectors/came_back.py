"""Whether an answer is nearly the wrong output of an earlier case, to nearly the same prompt."""

from collections.abc import Iterable, Sequence

from rapidfuzz import fuzz

from deployment.detectors.answer import Answer, KnownCase
from labeling.near import fold

LEAST_PROMPT, LEAST_OUTPUT = 88, 88  # percent, by rapidfuzz
# A word of a short text may be the whole difference between wrong and right: (up to so many characters, percent).
STRICTER = ((20, 100), (200, 95))


def find_known(answer: Answer, cases: Iterable[KnownCase]) -> list[KnownCase]:
    """Return those of the cases that the answer is an instance of, the nearest first.

    An answer that is nearer to a case's correction than to its wrong output is none.
    """
    question, text = fold(answer.question), fold(answer.text)
    found = []
    for case in cases:
        if fuzz.ratio(question, fold(case.question)) < LEAST_PROMPT:
            continue
        wrong = fold(case.wrong_output)
        alike = 100.0 if text == wrong else fuzz.ratio(text, wrong)
        if not _is_near(text, wrong):
            continue
        if case.correction and fuzz.ratio(text, fold(case.correction)) >= alike:
            continue
        found.append((alike, case))
    return [case for _alike, case in sorted(found, key=lambda pair: (-pair[0], -pair[1].pk))]


def has_come_back(known: Sequence[KnownCase]) -> int | None:
    """Return the number of the nearest case that was corrected already."""
    return next((case.pk for case in known if case.is_settled), None)


def _is_near(one: str, other: str) -> bool:
    if one == other:
        return True
    shorter = min(len(one), len(other))
    least = next((percent for most, percent in STRICTER if shorter <= most), LEAST_OUTPUT)
    return fuzz.ratio(one, other) >= least
