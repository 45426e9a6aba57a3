import asyncio
import uuid
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from common.htmx import render_page
from deployment.actions.chat import Attempt, ask, ask_anew, give_up
from deployment.actions.errors import AlreadySent, DeploymentError, NotAnswered
from deployment.actions.release import ensure_deployment
from deployment.forms.chat import AgainForm, ChatForm, ReportForm
from deployment.models import Completion, Conversation
from deployment.queries import ASSISTANT, turns_of
from deployment.states import CompletionState
from deployment.views.stream import CONTENT_TYPE, stream_lines, write_all
from labeling.models import Membership
from labeling.queries import require_member

N_CONVERSATIONS = 30
PARAMETERS = ("temperature", "max_tokens")


@require_GET
@login_required
def show(request: HttpRequest, slug: str, pk: int | None = None) -> HttpResponse:
    """A new chat, or one of the person's own."""
    membership = require_member(request, slug)
    conversation = get_object_or_404(Conversation.objects.visible_to(membership), pk=pk) if pk else None
    return _page(request, membership, conversation)


@require_POST
@login_required
async def send(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Ask. Scripts get the answer as lines while it is written; without them the page waits for it."""
    return await _prepare_and_answer(request, lambda: _prepare_question(request, slug))


@require_POST
@login_required
async def regenerate(request: HttpRequest, slug: str, key: str) -> HttpResponseBase:
    """Ask the last question once more."""
    return await _prepare_and_answer(request, lambda: _prepare_again(request, slug, key))


def answer_context(membership: Membership, completion: Completion, **extra: Any) -> dict[str, Any]:
    """Return what the piece `_answer.html` shows of one answer."""
    return {
        "answer": completion,
        "project": membership.project,
        "membership": membership,
        "is_streaming": completion.state == CompletionState.STREAMING,
        "is_cancelled": completion.state == CompletionState.CANCELLED,
        "is_failed": completion.state == CompletionState.FAILED,
        "report_form": ReportForm(auto_id=f"id_{completion.key}_%s", project=membership.project),
        "token": uuid.uuid4(),
        **extra,
    }


def _page(
    request: HttpRequest, membership: Membership, conversation: Conversation | None, form: ChatForm | None = None
) -> HttpResponse:
    turns = turns_of(conversation) if conversation else []
    context = {
        "conversation": conversation,
        "conversations": Conversation.objects.visible_to(membership)[:N_CONVERSATIONS],
        "turns": [(turn, [_in_turn(membership, turn, answer) for answer in turn.answers]) for turn in turns],
        "form": form or ChatForm(initial=_initial(request, conversation, turns), **_choices(membership)),
    }
    status = 422 if form is not None else 200
    return render_page(
        request, "deployment/chat_show.html", context, fragment="deployment/_composer.html", status=status
    )


def _in_turn(membership: Membership, turn: Any, answer: Completion) -> dict[str, Any]:
    return answer_context(membership, answer, is_last=turn.is_last)


def _choices(membership: Membership) -> dict[str, Any]:
    deployment = ensure_deployment(project=membership.project)
    return {"project": membership.project, "live_name": deployment.live_name}


def _initial(request: HttpRequest, conversation: Conversation | None, turns: list[Any]) -> dict[str, Any]:
    """Fill the composer as the last turn was sent; a link may name the targets: `?target=...&beside=...`."""
    initial = {"token": uuid.uuid4(), "temperature": 0, "max_tokens": 512, "target": ASSISTANT}
    initial |= {name: request.GET[name] for name in ("target", "beside") if name in request.GET}
    if conversation is None:
        return initial
    target, beside = [*conversation.targets, "", ""][:2]
    initial |= {"conversation": conversation.pk, "target": target or ASSISTANT, "beside": beside}
    if turns:
        parameters = turns[-1].answers[0].parameters
        initial |= {"system": turns[-1].system, **{name: parameters[name] for name in PARAMETERS if name in parameters}}
    return initial


def _prepare_question(request: HttpRequest, slug: str) -> list[Attempt] | HttpResponse:
    membership = require_member(request, slug)
    form = ChatForm(request.POST, **_choices(membership))
    pk = request.POST.get("conversation", "")
    own = Conversation.objects.visible_to(membership)
    conversation = get_object_or_404(own, pk=int(pk)) if pk.isdigit() else None
    if not form.is_valid():
        if _wants_lines(request):
            return render(request, "deployment/_composer.html", {"form": form}, status=422)
        return _page(request, membership, conversation, form)
    data = form.cleaned_data
    try:
        return ask(
            project=membership.project,
            user=membership.user,
            targets=form.targets,
            text=data["text"],
            system=data["system"],
            token=data["token"],
            parameters={name: data[name] for name in PARAMETERS},
            conversation=conversation,
        )
    except AlreadySent:
        return _sent_before(request, membership, data["token"])
    except DeploymentError as error:
        form.add_error(None, str(error))
        if _wants_lines(request):
            return render(request, "deployment/_composer.html", {"form": form}, status=422)
        return _page(request, membership, conversation, form)


def _prepare_again(request: HttpRequest, slug: str, key: str) -> list[Attempt] | HttpResponse:
    membership = require_member(request, slug)
    own = Conversation.objects.visible_to(membership)
    completion = get_object_or_404(
        Completion.objects.select_related("conversation", "project", "user"), key=key, conversation__in=own
    )
    form = AgainForm(request.POST)
    if not form.is_valid():
        return HttpResponse(status=422)
    try:
        return [ask_anew(completion=completion, token=form.cleaned_data["token"])]
    except AlreadySent:
        return _sent_before(request, membership, form.cleaned_data["token"])
    except (NotAnswered, DeploymentError) as error:
        messages.error(request, str(error))
        return redirect("deployment-conversation-show", slug, completion.conversation_id)


def _sent_before(request: HttpRequest, membership: Membership, token: uuid.UUID) -> HttpResponse:
    """Go to where the first sending is being answered."""
    first = get_object_or_404(
        Completion.objects.visible_to(membership), key__startswith=f"chatcmpl-{token.hex}", conversation__isnull=False
    )
    address = reverse("deployment-conversation-show", args=[membership.project.slug, first.conversation_id])
    return HttpResponse(status=409, headers={"Location": address}) if _wants_lines(request) else redirect(address)


async def _prepare_and_answer(
    request: HttpRequest, prepare: Callable[[], list[Attempt] | HttpResponse]
) -> HttpResponseBase:
    """Write the rows, then answer. A browser that goes away in between leaves rows that nobody will write: they say so."""
    writing = asyncio.ensure_future(sync_to_async(prepare)())
    try:
        prepared = await asyncio.shield(writing)
        return prepared if isinstance(prepared, HttpResponse) else await _answer(request, prepared)
    except asyncio.CancelledError:
        prepared = await writing
        if not isinstance(prepared, HttpResponse):
            await sync_to_async(give_up)(completions=[attempt.completion for attempt in prepared])
        raise


async def _answer(request: HttpRequest, attempts: list[Attempt]) -> HttpResponseBase:
    membership: Membership = request.membership  # type: ignore[attr-defined]
    conversation = attempts[0].completion.conversation
    assert conversation is not None
    address = reverse("deployment-conversation-show", args=[membership.project.slug, conversation.pk])
    if not _wants_lines(request):
        await write_all(attempts)
        return redirect(f"{address}#end")
    opening = {
        "conversation": conversation.pk,
        "address": address,
        "token": str(uuid.uuid4()),
        "title": conversation.title,
        "entry": await sync_to_async(render_to_string)(
            "deployment/_entry.html", {"own": conversation, "conversation": conversation}, request
        ),
        "html": await sync_to_async(_turn_piece)(request, membership, attempts),
    }
    lines = stream_lines(attempts, opening=opening, render=lambda row: _piece(request, membership, row))
    response = StreamingHttpResponse(lines, content_type=CONTENT_TYPE)
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


def _turn_piece(request: HttpRequest, membership: Membership, attempts: list[Attempt]) -> str:
    rows = [answer_context(membership, attempt.completion, is_live=True) for attempt in attempts]
    context = {"question": attempts[0].completion.messages[-1]["content"], "rows": rows}
    return render_to_string("deployment/_turn.html", context, request)


def _piece(request: HttpRequest, membership: Membership, completion: Completion) -> str:
    context = answer_context(membership, completion, is_last=True)
    return render_to_string("deployment/_answer.html", context, request)


def _wants_lines(request: HttpRequest) -> bool:
    return CONTENT_TYPE in request.headers.get("Accept", "")
