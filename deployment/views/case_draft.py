from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods

from common.htmx import render_page
from deployment.actions.case_draft import ask_for_draft
from deployment.actions.chat import Attempt
from deployment.actions.errors import DeploymentError
from deployment.actions.release import ensure_deployment
from deployment.forms.chat import CaseDraftForm
from deployment.states import CompletionState
from deployment.views.stream import write_all
from labeling.actions.errors import LabelingError
from labeling.actions.machine_draft import keep_machine_draft
from labeling.models import Case, Membership
from labeling.queries import require_member
from labeling.states import Role


@require_http_methods(["GET", "POST"])
@login_required
async def case_draft(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """What models have drafted for the case; POST asks one for a draft under the reviewer's remark and waits for it."""
    prepared = await sync_to_async(_prepare)(request, slug, pk)
    if isinstance(prepared, HttpResponse):
        return prepared
    await write_all([prepared])
    return await sync_to_async(_keep)(request, pk, prepared)


def _prepare(request: HttpRequest, slug: str, pk: int) -> Attempt | HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    case = _find(membership, pk)
    if request.method == "GET":
        return _show(request, case, _form(membership))
    form = _form(membership, request.POST)
    if not form.is_valid():
        return _show(request, case, form, status=422)
    try:
        return ask_for_draft(case=case, by=membership.user, **form.cleaned_data)
    except DeploymentError as error:
        form.add_error(None, str(error))
        return _show(request, case, form, status=422)


def _keep(request: HttpRequest, pk: int, attempt: Attempt) -> HttpResponse:
    membership: Membership = request.membership  # type: ignore[attr-defined]
    case, completion = _find(membership, pk), attempt.completion
    form = _form(membership, request.POST)
    form.is_valid()
    try:
        if completion.state != CompletionState.DONE:
            raise DeploymentError(completion.error)
        keep_machine_draft(
            case=case,
            model_name=completion.model_name,
            remark=form.cleaned_data["remark"],
            text=completion.response,
            by=membership.user,
        )
    except (DeploymentError, LabelingError) as error:
        form.add_error(None, str(error))
        return _show(request, case, form, status=422)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("deployment-case-draft", membership.project.slug, pk)
    return _show(request, case, form)


def _find(membership: Membership, pk: int) -> Case:
    return get_object_or_404(Case.objects.visible_to(membership).select_related("project"), pk=pk)


def _form(membership: Membership, data: Any = None) -> CaseDraftForm:
    deployment = ensure_deployment(project=membership.project)
    return CaseDraftForm(data, project=membership.project, live_name=deployment.live_name, auto_id="id_machine_%s")


def _show(request: HttpRequest, case: Case, form: CaseDraftForm, *, status: int = 200) -> HttpResponse:
    context = {"case": case, "draft_form": form, "drafts": case.machine_drafts.select_related("by").order_by("-pk")[:5]}
    return render_page(
        request, "deployment/case_draft.html", context, fragment="deployment/_case_draft.html", status=status
    )
