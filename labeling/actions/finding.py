"""The checks of a text that is being handed in. None of them is a verdict: the author may override each with a reason."""

from collections.abc import Callable, Mapping
from typing import Any

from common.conversations import Message
from labeling.actions.errors import HasFindings
from labeling.actions.fingerprint import find_similar, n_given_turns
from labeling.findings.chatbots import find_chatbot
from labeling.findings.finding import Finding
from labeling.findings.languages import detect_language, find_other_language, is_same_language
from labeling.findings.lengths import find_length
from labeling.findings.personal import find_personal
from labeling.findings.places import Place, shorten
from labeling.findings.unfinished import find_unfinished
from labeling.models import Draft, InstructionVersion, Task, User
from labeling.queries import current_instructions, instructions_by_number
from labeling.states import FindingKind

MOST_PLACES = 5
LONGEST_REASON = 500

Turns = list[tuple[int, Message]]


def find_problems(
    *, task: Task, messages: list[Message], by: User, version: InstructionVersion | None = None
) -> list[Finding]:
    """Return what the project's checks find in a clean conversation, at most one finding of a kind.

    Only what the person wrote is looked at, not the prompt of the task. It is held against the instructions that
    the person's draft was begun under, else `version`, which the page showed, else those in force.
    """
    version = _version(task, by, version)
    n_given = n_given_turns(task)
    turns = [(number, turn) for number, turn in enumerate(messages) if number >= n_given]
    answers = [(number, turn) for number, turn in turns if turn["role"] == "assistant"]
    given = "\n".join(turn["content"] for turn in messages[:n_given])
    checks: dict[FindingKind, Callable[[], Finding | None]] = {
        FindingKind.DUPLICATE: lambda: _duplicate(task, messages, answers, by),
        FindingKind.PERSONAL: lambda: _personal(turns, given),
        FindingKind.CHATBOT: lambda: _chatbot(answers),
        FindingKind.LANGUAGE: lambda: _language(messages, answers, version),
        FindingKind.UNFINISHED: lambda: _unfinished(answers),
        FindingKind.LENGTH: lambda: _length(answers, version),
    }
    found = [check() for kind, check in checks.items() if kind not in task.project.checks_off]
    return [finding for finding in found if finding is not None]


def settle(findings: list[Finding], overrides: Mapping[str, str] | None) -> list[dict[str, Any]]:
    """Return the findings with the author's reasons, as rows to be kept. Raises HasFindings where a reason is missing."""
    reasons = {kind: reason.strip()[:LONGEST_REASON] for kind, reason in (overrides or {}).items()}
    if any(not reasons.get(finding.kind) for finding in findings):
        raise HasFindings(findings)
    return [finding.as_row() | {"reason": reasons[finding.kind]} for finding in findings]


def _version(task: Task, by: User, shown: InstructionVersion | None) -> InstructionVersion | None:
    if task.is_drafted is not False:
        drafts = Draft.objects.filter(task=task, user=by, instruction_version__isnull=False)
        pinned = drafts.values_list("instruction_version__number", flat=True).first()
        if pinned is not None:
            return instructions_by_number(task.project, pinned)
    return shown or current_instructions(task.project)


def _duplicate(task: Task, messages: list[Message], answers: Turns, by: User) -> Finding | None:
    similar = find_similar(task=task, messages=messages, by=by)
    if similar is None:
        return None
    row = similar.submission or similar.example
    assert row is not None
    values = {
        "part": similar.part,
        "is_own": row.author_id == by.pk,
        "percent": int(similar.share * 100),
        "submission": similar.submission.pk if similar.submission else None,
        "example": similar.example.pk if similar.example else None,
    }
    number = answers[-1][0] - (similar.part == "prompt")
    return Finding(FindingKind.DUPLICATE, [Place(number, "", similar.part)], values)


def _personal(turns: Turns, given: str) -> Finding | None:
    """What the task's own prompt contains may be said again."""
    places = [
        Place(number, shorten(words), what)
        for number, turn in turns
        for what, words in find_personal(turn["content"])
        if words not in given
    ]
    return Finding(FindingKind.PERSONAL, places[:MOST_PLACES]) if places else None


def _chatbot(answers: Turns) -> Finding | None:
    places = [
        Place(number, shorten(words), "chatbot") for number, turn in answers for words in find_chatbot(turn["content"])
    ]
    return Finding(FindingKind.CHATBOT, places[:MOST_PLACES]) if places else None


def _language(messages: list[Message], answers: Turns, version: InstructionVersion | None) -> Finding | None:
    """The language that the instructions ask for counts, else that of the turns that are answered."""
    for number, turn in answers:
        if version is not None and version.language:
            answered = detect_language(turn["content"])
            if answered is None or is_same_language(version.language, answered):
                continue
            languages, by = (version.language, answered), "instructions"
        else:
            asked = "\n".join(earlier["content"] for earlier in messages[:number] if earlier["role"] != "assistant")
            other = find_other_language(prompt=asked, answer=turn["content"])
            if other is None:
                continue
            languages, by = other, "prompt"
        values = {"asked": languages[0], "answered": languages[1], "by": by}
        return Finding(FindingKind.LANGUAGE, [Place(number, "", "language")], values)
    return None


def _unfinished(answers: Turns) -> Finding | None:
    for number, turn in answers:
        if found := find_unfinished(turn["content"]):
            what, words = found
            return Finding(FindingKind.UNFINISHED, [Place(number, shorten(words), what)], {"what": what})
    return None


def _length(answers: Turns, version: InstructionVersion | None) -> Finding | None:
    """The hints speak of the ideal response, which is the last turn."""
    if version is None:
        return None
    number, turn = answers[-1]
    found = find_length(turn["content"], fewest=version.min_words, most=version.max_words)
    if found is None:
        return None
    what, n_words, limit = found
    return Finding(FindingKind.LENGTH, [Place(number, "", what)], {"what": what, "n_words": n_words, "limit": limit})
