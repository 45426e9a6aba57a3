"""Suites of a project's own: taking them in from JSONL, and taking them out."""

import json
from collections.abc import Iterable
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from common.checks import Check, CheckError, clean_check, passes
from common.conversations import ConversationError, clean
from common.states import record
from labeling.actions.errors import BadConversation
from labeling.actions.regression_test import explain_check
from labeling.models import Project, User
from training.actions.errors import FileRefused, NameTaken
from training.models import OwnSuite

MAX_ROWS = 1000
MAX_CHARACTERS = 100_000


def add_suite(*, project: Project, name: str, lines: Iterable[str], by: User | None = None) -> OwnSuite:
    """Add a suite that evaluations ask from now on; its rows never change afterwards.

    A line is {"prompt" or "messages", "ideal_response", "bad_response", "checks"}; it needs an ideal response or a check.
    All or nothing: raises FileRefused at the first line that cannot be used, NameTaken for a name that is in use.
    """
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(_row(line))
        except (ConversationError, CheckError, ValueError) as error:
            why = _explain(error)
            raise FileRefused(_("Line %(number)d: %(why)s") % {"number": number, "why": why}) from error
        if len(rows) > MAX_ROWS:
            raise FileRefused(_("A suite has at most %(n)d lines.") % {"n": MAX_ROWS})
    if not rows:
        raise FileRefused(_("There is no line in it."))
    try:
        with transaction.atomic():
            suite = OwnSuite.objects.create(project=project, name=name, rows=rows, n_rows=len(rows), created_by=by)
            record(suite, what="suite", after=f"{name} ({len(rows)})", by=by)
    except IntegrityError:
        raise NameTaken(_("There is a suite of this name already.")) from None
    return suite


def remove_suite(*, suite: OwnSuite, by: User | None = None) -> None:
    """Ask a suite no more. Reports keep what was measured on it."""
    with transaction.atomic():
        record(suite, what="suite", before=f"{suite.name} ({suite.n_rows})", by=by)
        suite.delete()


def _row(line: str) -> dict[str, Any]:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise ValueError(_("not a JSON object"))
    if len(line) > MAX_CHARACTERS:
        raise ValueError(_("longer than 100,000 characters"))
    messages = given.get("messages", [{"role": "user", "content": given.get("prompt")}])
    prompt = clean(messages, ends_with="user")
    chosen, rejected = _text(given, "ideal_response"), _text(given, "bad_response")
    checks = _checks(given.get("checks"), chosen)
    if not chosen and not checks:
        raise ValueError(_("needs an ideal_response or checks, else nothing says what is right"))
    return {"messages": prompt, "chosen": chosen, "rejected": rejected, "checks": checks}


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name) or ""
    if not isinstance(value, str):
        raise ValueError(_("%(name)s is not a text") % {"name": name})
    return value.replace("\x00", "").strip()


def _checks(given: Any, chosen: str) -> list[Check]:
    if not isinstance(given or [], list):
        raise ValueError(_("%(name)s is not a list") % {"name": "checks"})
    checks = []
    for number, each in enumerate(given or [], 1):
        try:
            checks.append(clean_check(each))
        except CheckError as error:
            raise ValueError(explain_check(error.code, number)) from error
        if chosen and not passes(checks[-1], chosen):
            raise ValueError(_("the ideal response itself fails check %(number)d") % {"number": number})
    return checks


def _explain(error: Exception) -> str:
    if isinstance(error, ConversationError):
        return str(BadConversation("last_user" if error.code == "last_turn" else error.code))
    return str(error)
