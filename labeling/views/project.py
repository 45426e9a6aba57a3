from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from common.htmx import render_page
from labeling.actions.grading import may_retry
from labeling.actions.project import create_project, update_project
from labeling.forms.project import ProjectCreateForm, ProjectEditForm
from labeling.models import Case, Project, Submission
from labeling.queries import needs_acknowledgement, require_member, work_counts
from labeling.queries.gold import n_to_grade, qualification_progress
from labeling.queries.review import THREAD, unread_by_author
from labeling.states import Role, SubmissionState, TaskKind


@require_GET
@login_required
def project_list(request: HttpRequest) -> HttpResponse:
    """The person's projects; with one only, its home."""
    projects = list(Project.objects.visible_to(request.user).order_by("name"))  # type: ignore[arg-type]
    if len(projects) == 1 and not request.user.is_superuser and "all" not in request.GET:
        return redirect("labeling-project-home", slug=projects[0].slug)
    return render_page(request, "labeling/project_list.html", {"projects": projects})


@require_http_methods(["GET", "POST"])
@login_required
def project_create(request: HttpRequest) -> HttpResponse:
    if not request.user.is_superuser:
        raise PermissionDenied
    form = ProjectCreateForm(request.POST or None)
    if form.is_valid():
        data = form.cleaned_data
        project = create_project(**data, admin=request.user)
        messages.success(request, _("The project is there. Publish its instructions next."))
        return redirect("labeling-instructions-publish", slug=project.slug)
    status = 422 if request.method == "POST" else 200
    return render_page(request, "labeling/project_create.html", {"form": form}, status=status)


@require_GET
@login_required
def project_home(request: HttpRequest, slug: str) -> HttpResponse:
    """What waits for this person, by role; a reviewer's and an admin's own writing comes below."""
    membership = require_member(request, slug)
    project, user = membership.project, membership.user
    own = (
        Submission.objects.filter(project=project, author=user)
        .prefetch_related(THREAD)
        .select_related("review__reviewer", "instruction_version")
    )
    context: dict[str, Any] = {
        "counts": work_counts(membership),
        "unread_comments": unread_by_author(membership),
        "unread": needs_acknowledgement(membership),
        "returned": own.filter(state=SubmissionState.RETURNED).order_by("-pk")[:5],
        "accepted": own.filter(state=SubmissionState.ACCEPTED).order_by("-pk")[:5],
        "n_prompts": project.tasks.available().filter(kind=TaskKind.ANSWER).count(),
    }
    if project.n_qualification and membership.qualification_attempt:
        context |= {"progress": qualification_progress(membership), "may_retry": may_retry(membership)}
    if membership.is_reviewer:
        context["n_to_grade"] = n_to_grade(membership)
        context["n_to_review"] = Submission.objects.filter(project=project).reviewable_by(user).count()
        cases = Case.objects.filter(project=project).queue_of(user)
        context["n_cases"] = cases.count()
        context["n_assigned"] = cases.filter(assignee=user).count()
    if membership.is_admin:
        context["n_escalated"] = Submission.objects.filter(project=project).escalated_to(user).count()
        context["n_waiting"] = Submission.objects.filter(project=project).waiting().count()
        context["n_people"] = project.memberships.filter(is_active=True).count()
        context["has_instructions"] = project.instruction_versions.exists()
    return render_page(request, "labeling/project_home.html", context)


@require_http_methods(["GET", "POST"])
@login_required
def project_edit(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    form = ProjectEditForm(request.POST or None, instance=Project.objects.get(pk=membership.project_id))
    if form.is_valid():
        update_project(project=membership.project, by=membership.user, **form.cleaned_data)
        messages.success(request, _("The settings are saved."))
        return redirect("labeling-project-edit", slug=slug)
    status = 422 if request.method == "POST" else 200
    return render_page(
        request, "labeling/project_edit.html", {"form": form}, fragment="labeling/_project_form.html", status=status
    )
