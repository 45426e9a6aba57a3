from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from common.htmx import STOP_POLLING, render_page
from common.pagination import paginate
from deployment.actions.chat import rate_completion, report_completion
from deployment.actions.errors import NotAnswered
from deployment.forms.chat import RateForm, ReportForm
from deployment.forms.log import LogFilterForm
from deployment.models import Completion, ShadowAnswer
from deployment.queries import reports_by, turns_of
from deployment.states import CompletionState
from deployment.views.chat import answer_context
from labeling.actions.errors import LabelingError
from labeling.models import Membership
from labeling.queries import require_member
from labeling.states import Role


@require_GET
@login_required
def log(request: HttpRequest, slug: str) -> HttpResponse:
    """The project's answers, newest first."""
    membership = require_member(request, slug, Role.REVIEWER)
    rows = Completion.objects.visible_to(membership)
    form = LogFilterForm(request.GET, rows=rows)
    page = paginate(request, form.chosen().select_related("user", "case"))
    n_to_judge = ShadowAnswer.objects.visible_to(membership).to_judge().count()
    context = {"form": form, "page": page, "n_to_judge": n_to_judge}
    return render_page(request, "deployment/completion_list.html", context, fragment="deployment/_log.html")


@require_GET
@login_required
def show(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    """One answer with its conversation, and all that is known of how it came to be."""
    membership = require_member(request, slug, Role.REVIEWER)
    completion = _fetch(membership, key)
    return render_page(request, "deployment/completion_show.html", answer_context(membership, completion, is_page=True))


@require_GET
@login_required
def piece(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    """The answer alone, polled while it is being written elsewhere."""
    membership = require_member(request, slug)
    completion = _fetch(membership, key)
    is_over = completion.state != CompletionState.STREAMING
    context = answer_context(membership, completion, is_last=_is_last(completion))
    return render(request, "deployment/_answer.html", context, status=STOP_POLLING if is_over else 200)


@require_POST
@login_required
def rate(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    membership = require_member(request, slug)
    completion = _fetch(membership, key)
    form = RateForm(request.POST)
    if not form.is_valid():
        return _back(request, membership, completion, status=422)
    try:
        rate_completion(completion=completion, rating=form.cleaned_data["rating"])
    except NotAnswered as error:
        return _back(request, membership, completion, problem=str(error), status=422)
    return _back(request, membership, completion)


@require_POST
@login_required
def report(request: HttpRequest, slug: str, key: str) -> HttpResponse:
    """Thumbs down: opens a case or joins one."""
    membership = require_member(request, slug)
    completion = _fetch(membership, key)
    form = ReportForm(request.POST, auto_id=f"id_{key}_%s", project=membership.project)
    if not form.is_valid():
        return _back(request, membership, completion, report_form=form, status=422)
    try:
        report_completion(completion=completion, by=membership.user, **form.cleaned_data)
    except (NotAnswered, LabelingError) as error:
        return _back(request, membership, completion, problem=str(error), report_form=form, status=422)
    return _back(request, membership, completion)


@require_GET
@login_required
def reports(request: HttpRequest, slug: str) -> HttpResponse:
    """What the person reported, and what has become of it."""
    membership = require_member(request, slug)
    page = paginate(request, reports_by(membership))
    return render_page(request, "deployment/report_list.html", {"page": page})


def _fetch(membership: Membership, key: str) -> Completion:
    rows = Completion.objects.visible_to(membership).select_related(
        "conversation", "case", "user", "tuned_model", "deployment", "project"
    )
    return get_object_or_404(rows, key=key)


def _is_last(completion: Completion) -> bool:
    if completion.conversation is None:
        return False
    turns = turns_of(completion.conversation)
    return bool(turns) and completion.pk in [answer.pk for answer in turns[-1].answers]


def _back(
    request: HttpRequest, membership: Membership, completion: Completion, *, status: int = 200, **extra: object
) -> HttpResponse:
    """Answer htmx with the piece; without it go back to where the answer stands, or show the piece with what is wrong."""
    if request.htmx or status != 200:  # type: ignore[attr-defined]
        context = answer_context(membership, completion, is_last=_is_last(completion), **extra)
        return render_page(
            request, "deployment/answer_show.html", context, fragment="deployment/_answer.html", status=status
        )
    messages.success(request, _("Thank you. It is kept."))
    is_own = completion.conversation is not None and completion.conversation.user_id == membership.user_id
    if is_own:
        address = reverse("deployment-conversation-show", args=[membership.project.slug, completion.conversation_id])
        return redirect(f"{address}#answer-{completion.key}")
    return redirect("deployment-completion-show", membership.project.slug, completion.key)
