"""What is plainly wrong with an answer, found without a model: pure functions over a prompt and its answer.

Each returns the words that show the fault, "" where there is none. Most of them rather miss a fault than blame a good
answer: what they find takes a reviewer's time.
"""

from collections.abc import Callable, Sequence

from deployment.detectors.answer import Answer, KnownCase, Rules
from deployment.detectors.came_back import find_known, has_come_back
from deployment.detectors.endings import find_cut, find_empty
from deployment.detectors.languages import find_wrong_language
from deployment.detectors.loops import find_loop
from deployment.detectors.personal import find_personal_data
from deployment.detectors.refusals import find_refusal
from deployment.detectors.rules import find_broken_rule
from deployment.states import Detector

__all__ = ["Answer", "KnownCase", "Rules", "find_faults", "find_known"]

# In the order of their weight: the first finding gives the report its reason.
FINDERS: dict[Detector, Callable[[Answer], str]] = {
    Detector.PERSONAL: find_personal_data,
    Detector.EMPTY: find_empty,
    Detector.LOOP: find_loop,
    Detector.NO_STOP: find_cut,
    Detector.REFUSAL: find_refusal,
    Detector.LANGUAGE: find_wrong_language,
}


def find_faults(
    answer: Answer, *, wanted: Sequence[str], known: Sequence[KnownCase] = (), rules: Rules | None = None
) -> dict[Detector, str]:
    """Return what the wanted detectors find, each with its words, the gravest first.

    `known` are the earlier cases of nearly this answer to nearly this prompt (find_known).
    """
    found = {}
    if Detector.CAME_BACK in wanted and (number := has_come_back(known)):
        found[Detector.CAME_BACK] = f"#{number}"
    for detector, finder in FINDERS.items():
        if detector in wanted and (words := finder(answer)):
            found[detector] = words
    if Detector.RULES in wanted and rules is not None and (words := find_broken_rule(answer, rules)):
        found[Detector.RULES] = words
    return found
