"""The words of the audit log for people. The log itself keeps English; what is not known here is shown as it is kept."""

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from common.models import Transition
from labeling.models import Project
from labeling.states import Qualification, Role, Settlement, Severity

Words = Mapping[str, "str | Promise"]

THINGS: Words = {
    "API key": _("API key"),
    "assignee": _("assignee"),
    "cycle": _("cycle"),
    "dataset pushed": _("dataset pushed to the Hub"),
    "dataset version": _("dataset version"),
    "detectors": _("detectors"),
    "disagreement": _("disagreement"),
    "escalated": _("escalated"),
    "gold": _("gold task"),
    "grade": _("grade"),
    "instructions": _("instructions"),
    "instructions of the draft": _("instructions of the draft"),
    "invitation": _("invitation"),
    "job": _("job"),
    "judging settings": _("comparisons and second reviews"),
    "languages": _("languages"),
    "live model": _("live model"),
    "live model, gate overridden": _("live model, gate overridden"),
    "candidate": _("candidate"),
    "candidate in shadow": _("candidate in shadow"),
    "candidate in shadow, gate overridden": _("candidate in shadow, gate overridden"),
    "canary": _("canary"),
    "release rules": _("release rules"),
    "shadow answer": _("shadow answer"),
    "canary, gate overridden": _("canary, gate overridden"),
    "membership": _("membership"),
    "merge": _("merge"),
    "merge undone": _("merge undone"),
    "model": _("model"),
    "note": _("note"),
    "preference pair": _("preference pair"),
    "project": _("project"),
    "qualification": _("qualification"),
    "rate": _("rate"),
    "reason": _("reason"),
    "retraction": _("retraction"),
    "role": _("role"),
    "second review": _("second review"),
    "settings": _("settings"),
    "severity": _("severity"),
    "standing": _("access"),
    "suite": _("own suite"),
}

_STANDING: Words = {
    "active": _("active"),
    "paused": _("paused"),
    "removed": _("removed"),
    "open": _("open"),
    "withdrawn": _("withdrawn"),
    "revoked": _("revoked"),
    "deleted": _("deleted"),
}
_SETTING: Words = {"True": _("yes"), "False": _("no"), "None": "–"}
_ROLES: Words = dict(Role.choices)
VALUES: Mapping[str, Words] = {
    "role": _ROLES,
    "membership": {**_ROLES, **_STANDING},
    "standing": _STANDING,
    "invitation": {**_ROLES, **_STANDING},
    "API key": _STANDING,
    "model": _STANDING,
    "severity": {each.name.lower(): each.label for each in Severity},
    "second review": {"accept": _("accept"), "do not accept": _("do not accept")},
    "qualification": dict(Qualification.choices),
    "disagreement": dict(Settlement.choices),
    "escalated": {"admin": _("an admin")},
    "retraction": {"retracted": _("retracted")},
    "preference pair": {"in training": _("in training"), "retracted": _("retracted")},
}


def thing_changed(what: str) -> str:
    """Return what a line says that changed, in the reader's language. A setting is called as its form calls it."""
    name = what.removeprefix("setting ")
    if what in THINGS:
        return str(THINGS[what])
    try:
        return str(getattr(Project._meta.get_field(name), "verbose_name", name))
    except FieldDoesNotExist:
        return name


def value_said(row: Transition, value: str) -> str:
    """Return a line's `before` or `after` in the reader's language."""
    if not row.what:
        return str(_state_words(row.subject_type).get(value, value))
    words = _SETTING if row.subject_type == "labeling.project" else VALUES.get(row.what, {})
    first, space, rest = value.partition(" ")
    if value in words:
        return str(words[value])
    return f"{words[first]}{space}{rest}" if row.what == "invitation" and first in words else value


_REASONS: Words = {
    "given back": _("given back"),
    "gold": _("marked as a gold task"),
    "handed in; more people are to": _("handed in; more people are to"),
    "lease ran out": _("the time ran out"),
    "looked at": _("an admin looked at it"),
    "no gold task any more": _("no gold task any more"),
    "rejected": _("the text was rejected"),
    "withdrawn": _("the text was withdrawn"),
}


def reason_said(row: Transition) -> str:
    """Return a line's reason: what people wrote, or in the reader's language what Emend notes about tasks."""
    words = _REASONS if row.subject_type == "labeling.task" else {}
    return str(words.get(row.reason, row.reason))


def _state_words(subject_type: str) -> dict[Any, Any]:
    """Return the labels of a model's states; none for a model that is no longer there."""
    try:
        return dict(apps.get_model(subject_type)._meta.get_field("state").flatchoices)
    except (LookupError, ValueError, FieldDoesNotExist):
        return {}


def sentence(row: Transition) -> str:
    """Return "Severity: Minor → Harmful" for a line."""
    before, after = value_said(row, row.before), value_said(row, row.after)
    return f"{capfirst(thing_changed(row.what))}: {before + ' → ' if before else ''}{after or '–'}"
