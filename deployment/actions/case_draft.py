"""A model proposes the right answer to a case, under a reviewer's remark."""

from typing import Any

from django.utils.translation import gettext as _

from common.conversations import Message
from deployment.actions.chat import Attempt
from deployment.gateway import find_route, open_completion
from labeling.models import Case, User

PARAMETERS: dict[str, Any] = {"temperature": 0, "max_tokens": 1024}


def ask_for_draft(*, case: Case, target: str, remark: str, by: User) -> Attempt:
    """Write the row of the answer in which a model tries again. Raises UnknownTarget and ModelNotLoadable.

    The answer is in the log like any other, marked in its metadata as a draft for the case.
    """
    route = find_route(project=case.project, target=target)
    completion = open_completion(
        route=route,
        project=case.project,
        messages=_second_try(case, remark.strip()),
        parameters=PARAMETERS,
        user=by,
        metadata={"draft_for_case": str(case.pk)},
    )
    return Attempt(completion, route)


def _second_try(case: Case, remark: str) -> list[Message]:
    wish = _("That answer was wrong. Write the right answer to my last question, and nothing else.")
    said = f"{wish}\n\n{remark}" if remark else wish
    return [
        *case.messages,
        {"role": "assistant", "content": case.wrong_output},
        {"role": "user", "content": said},
    ]
