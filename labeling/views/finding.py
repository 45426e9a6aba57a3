"""How findings are shown: to the author in the editor, to the reviewer beside the text."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.urls import reverse

from labeling.actions.fingerprint import n_given_turns
from labeling.findings.finding import PLACE_LABELS, Finding
from labeling.forms.task import ConversationForm
from labeling.models import Example, Membership, Submission


def show_in_editor(
    findings: Iterable[Finding], *, form: ConversationForm, membership: Membership
) -> list[dict[str, Any]]:
    """Return the findings with the id of the field that each place is in, and the reason as typed so far."""
    n_given, reasons = n_given_turns(form.task), form.overrides
    n_before = n_given + sum(turn["role"] == "system" for turn in form.finished_messages[n_given:])
    return [
        _shown(finding, membership)
        | {
            "reason": reasons.get(finding.kind, ""),
            "places": [
                place | {"field": f"turn-{place['turn'] - n_before + 1}" if place["turn"] >= n_before else "system"}
                for place in _places(finding)
            ],
        }
        for finding in findings
    ]


def show_overridden(submission: Submission, membership: Membership) -> list[dict[str, Any]]:
    """Return what was found in the text and handed in all the same, with the author's reasons."""
    findings = [Finding.from_row(row) for row in submission.findings]
    return [
        _shown(finding, membership) | {"places": _places(finding), "message": finding.message_for_reviewer}
        for finding in findings
    ]


def _shown(finding: Finding, membership: Membership) -> dict[str, Any]:
    return {
        "kind": str(finding.kind),
        "label": finding.label,
        "message": finding.message,
        "reason": finding.reason,
        "similar": _similar(finding.values, membership),
    }


def _places(finding: Finding) -> list[dict[str, Any]]:
    return [
        {
            "turn": place.turn,
            "quote": place.quote,
            "what": PLACE_LABELS[place.what]() if place.what in PLACE_LABELS else "",
        }
        for place in finding.places
    ]


def _similar(values: Mapping[str, Any], membership: Membership) -> dict[str, Any] | None:
    """Return a link to the text that a duplicate resembles, None for those who may not see it."""
    project = membership.project
    if values.get("submission"):
        submission = Submission.objects.visible_to(membership).filter(pk=values["submission"]).first()
        if submission is None:
            return None
        address = (
            reverse("labeling-review-submission", args=[project.slug, submission.pk])
            if membership.is_reviewer
            else f"{reverse('labeling-submission-list', args=[project.slug])}?state={submission.state}"
        )
        return {"url": address, "messages": submission.messages, "percent": values["percent"]}
    if not values.get("example") or not membership.is_reviewer:
        return None
    example = Example.objects.filter(project=project, pk=values["example"]).select_related("correction").first()
    if example is None:
        return None
    if example.correction is not None:
        address = reverse("labeling-case-show", args=[project.slug, example.correction.case_id])
    elif example.submission_id is not None:
        address = reverse("labeling-review-submission", args=[project.slug, example.submission_id])
    else:
        address = reverse("labeling-example-list", args=[project.slug])
    return {"url": address, "messages": example.messages, "percent": values["percent"]}
