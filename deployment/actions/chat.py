"""What a person does in a chat: ask, ask anew, rate an answer, report it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from deployment.actions.errors import AlreadySent, NotAnswered
from deployment.gateway import Route, find_route, open_completion
from deployment.models import Completion, Conversation
from deployment.queries import prompt_for, turns_of
from deployment.queries.routing import thread_of
from deployment.states import CompletionState
from labeling.actions.case import report_output
from labeling.actions.errors import UnchangedText
from labeling.models import Case, Project, User
from labeling.states import Source

TITLE_LENGTH = 80
SAMPLED_TEMPERATURE = 0.8  # a new attempt at temperature 0 would only repeat the answer


@dataclass(frozen=True)
class Attempt:
    """One answer about to be written, and who writes it."""

    completion: Completion
    route: Route


def ask(
    *,
    project: Project,
    user: User,
    targets: list[str],
    text: str,
    token: UUID,
    parameters: dict[str, Any],
    system: str = "",
    conversation: Conversation | None = None,
) -> list[Attempt]:
    """Put a question to one or two targets, in a new conversation where none is given.

    The rows are written before anybody is asked. `token` comes from the page that was sent: the same one twice raises
    AlreadySent and changes nothing. Raises UnknownTarget and ModelNotLoadable.
    """
    turns = turns_of(conversation) if conversation else []
    text, system = _tidy(text), _tidy(system)
    try:
        with transaction.atomic():
            if conversation is None:
                title = " ".join(text.split())[:TITLE_LENGTH]
                conversation = Conversation(project=project, user=user, title=title)
            conversation.targets = targets
            conversation.save()
            thread = thread_of("chat", conversation.pk)
            routes = [find_route(project=project, target=target, thread=thread) for target in targets]
            return [
                Attempt(
                    open_completion(
                        route=route,
                        project=project,
                        messages=prompt_for(turns, side=side, system=system, text=text),
                        parameters=parameters,
                        user=user,
                        conversation=conversation,
                        side=side,
                        key=f"chatcmpl-{token.hex}{side}",
                    ),
                    route,
                )
                for side, route in enumerate(routes)
            ]
    except IntegrityError as error:
        raise AlreadySent(_("This message was sent already.")) from error


def ask_anew(*, completion: Completion, token: UUID) -> Attempt:
    """Ask the same question once more, of whoever answers on that side now. The earlier answer stays in the log.

    Raises AlreadySent, UnknownTarget and ModelNotLoadable.
    """
    conversation = completion.conversation
    if conversation is None:
        raise NotAnswered(_("This answer belongs to no chat."))
    is_still_asked = completion.side < len(conversation.targets)
    target = conversation.targets[completion.side] if is_still_asked else completion.model_name
    thread = thread_of("chat", conversation.pk)
    route = find_route(project=completion.project, target=target, thread=thread)
    parameters = dict(completion.parameters)
    if completion.response and not parameters.get("temperature"):
        parameters["temperature"] = SAMPLED_TEMPERATURE
    try:
        with transaction.atomic():
            conversation.save(update_fields=["updated_at"])
            attempt = open_completion(
                route=route,
                project=completion.project,
                messages=completion.messages,
                parameters=parameters,
                user=completion.user,
                conversation=conversation,
                side=completion.side,
                key=f"chatcmpl-{token.hex}{completion.side}",
            )
    except IntegrityError as error:
        raise AlreadySent(_("This message was sent already.")) from error
    return Attempt(attempt, route)


def give_up(*, completions: list[Completion]) -> None:
    """End rows that nobody will write any more; those that have ended already stay as they are."""
    rows = Completion.objects.filter(pk__in=[row.pk for row in completions], state=CompletionState.STREAMING)
    rows.update(state=CompletionState.CANCELLED, finish_reason="cancelled")


def rate_completion(*, completion: Completion, rating: int) -> None:
    """Keep a thumbs-up (1), or take a rating back (0). A thumbs-down is a report: `report_completion`."""
    if rating not in (0, 1):
        raise ValueError("A rating is 1 or 0.")
    _need_text(completion)
    Completion.objects.filter(pk=completion.pk).update(rating=rating)
    completion.rating = rating


def report_completion(
    *,
    completion: Completion,
    reason: str,
    by: User | None,
    comment: str = "",
    source: Source = Source.CHAT,
    proposal: str = "",
) -> Case:
    """Say that an answer was wrong: opens a case, or joins that of the same answer to the same prompt.

    A `proposal` waits for a reviewer. Raises NotAnswered, UnchangedText for a proposal that is the answer itself, and
    BadConversation for a prompt that nobody could be taught with.
    """
    _need_text(completion)
    if proposal.strip() and proposal.strip() == completion.response.strip():
        raise UnchangedText
    with transaction.atomic():
        case = report_output(
            project=completion.project,
            messages=completion.messages,
            wrong_output=completion.response,
            model_name=completion.model_name,
            reason=reason,
            comment=comment,
            reporter=by,
            source=source,
            completion_key=completion.key,
            proposal=proposal,
        )
        Completion.objects.filter(pk=completion.pk).update(rating=-1, case=case)
    completion.rating, completion.case = -1, case
    return case


def _need_text(completion: Completion) -> None:
    if not completion.response.strip():
        raise NotAnswered(_("There is no answer to rate."))


def _tidy(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\x00", "").strip()
