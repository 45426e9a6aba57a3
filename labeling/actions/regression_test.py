from collections.abc import Iterable, Sequence
from typing import Any

from django.utils.translation import gettext as _

from common.checks import Check, CheckError, clean_check, passes
from common.conversations import ConversationError, Message, clean, digest
from labeling.actions.errors import BadCheck, BadProbe
from labeling.models import Case, Correction, Example, Probe, RegressionTest
from labeling.queries.case import family_of

ProbeText = str | Sequence[Message]


def clean_checks(checks: Iterable[Any], *, correction: str) -> list[Check]:
    """Return the checks in their one form, each once.

    Raises BadCheck for one that makes no sense or that the correction itself does not pass.
    """
    rules: list[Check] = []
    for number, check in enumerate(checks, 1):
        try:
            rule = clean_check(check)
        except CheckError as error:
            raise BadCheck(explain_check(error.code, number)) from error
        if not passes(rule, correction):
            raise BadCheck(
                _("Check %(number)d fails on the correction itself, so no model could pass it.") % {"number": number}
            )
        if rule not in rules:
            rules.append(rule)
    return rules


def explain_check(code: str, number: int) -> str:
    """Return the sentence for people that belongs to the code of a CheckError."""
    sentences = {
        "not_a_check": _("Check %(number)d cannot be read."),
        "unknown_kind": _("Check %(number)d is of a kind that does not exist."),
        "no_value": _("Check %(number)d needs a text."),
        "too_long": _("The text of check %(number)d is too long: at most 500 characters."),
        "pattern": _("The pattern of check %(number)d cannot be read."),
        "number": _("Check %(number)d needs a number of words, 1 or more."),
    }
    return sentences[code] % {"number": number}


def clean_probes(probes: Iterable[ProbeText], *, case: Case) -> list[list[Message]]:
    """Return the probes as prompts, each once. A text takes the place of the last turn of the case's prompt.

    Raises BadProbe for an empty or malformed one, for the case's own prompt, and for one that the project trains on.
    """
    prompts: dict[str, list[Message]] = {}
    for probe in probes:
        messages = [*case.messages[:-1], {"role": "user", "content": probe}] if isinstance(probe, str) else list(probe)
        shown = probe if isinstance(probe, str) else ""
        try:
            prompt = clean(messages, ends_with="user")
        except ConversationError as error:
            raise BadProbe(_("A probe is empty or is no prompt: its last turn has to be the user's."), shown) from error
        key = digest(prompt)
        if key == case.prompt_hash:
            raise BadProbe(
                _("“%(probe)s” is the case's own prompt. A probe asks the same thing in other words.")
                % {"probe": prompt[-1]["content"]},
                shown,
            )
        prompts[key] = prompt
    trained = Example.objects.trainable().filter(project_id=case.project_id, prompt_hash__in=prompts)
    if trained_hash := trained.values_list("prompt_hash", flat=True).first() if prompts else None:
        text = prompts[trained_hash][-1]["content"]
        raise BadProbe(
            _("“%(probe)s” is the prompt of an example that is trained on, so it cannot be a held-out probe.")
            % {"probe": text},
            text,
        )
    return list(prompts.values())


def write_test(*, case: Case, correction: Correction, checks: list[Check], probes: list[list[Message]]) -> None:
    """Write the case's regression test in place of an earlier one. All arguments are clean.

    The case's prompt is trained on from now on: where another test held it out as a probe, it does so no longer.
    """
    Probe.objects.filter(test__project_id=case.project_id, prompt_hash=case.prompt_hash).delete()
    test, _created = RegressionTest.objects.update_or_create(
        case=case,
        defaults={
            "project_id": case.project_id,
            "correction": correction,
            "messages": case.messages,
            "chosen": correction.text,
            "rejected": case.wrong_output,
            "checks": checks,
            "is_active": True,
        },
    )
    test.probes.all().delete()
    Probe.objects.bulk_create([Probe(test=test, messages=prompt, prompt_hash=digest(prompt)) for prompt in probes])
    case.test = test


def prompts_merged_into(case: Case) -> list[list[Message]]:
    """Return the other prompts of the cases that were merged into this one."""
    merged = Case.objects.filter(pk__in=family_of(case)).exclude(prompt_hash=case.prompt_hash).order_by("pk")
    return [row.messages for row in merged]


def add_probes(*, test: RegressionTest, prompts: Iterable[list[Message]]) -> list[str]:
    """Hold these prompts out for the test as well; return the hashes of those that are new to it.

    What the project trains on, and the test's own prompt, cannot be a probe and is left out.
    """
    by_hash = {digest(prompt): prompt for prompt in prompts}
    by_hash.pop(digest(test.messages), None)
    trained = Example.objects.trainable().filter(project_id=test.project_id, prompt_hash__in=by_hash)
    known = {*trained.values_list("prompt_hash", flat=True), *test.probes.values_list("prompt_hash", flat=True)}
    new = {key: prompt for key, prompt in by_hash.items() if key not in known}
    Probe.objects.bulk_create([Probe(test=test, messages=prompt, prompt_hash=key) for key, prompt in new.items()])
    return list(new)
