"""Who generates the answers: the embedded engine and those outside."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import render_page
from deployment import engine as embedded
from deployment.actions import outside_engine as actions
from deployment.actions.errors import EngineError, NameTaken
from deployment.forms.engine import EngineForm, ServeForm
from deployment.models import OutsideEngine, ServedModel
from deployment.states import EngineKind
from labeling.queries import require_member
from labeling.states import Role


@require_GET
@login_required
def index(request: HttpRequest, slug: str) -> HttpResponse:
    """The engines and how they are."""
    membership = require_member(request, slug, Role.ADMIN)
    try:
        health, problem = embedded.read_health(), ""
    except EngineError as error:
        health, problem = {}, str(error)
    engines = OutsideEngine.objects.visible_to(membership).prefetch_related("served__tuned_model", "served__base_model")
    context = {
        "health": health,
        "problem": problem,
        "engines": engines,
        "serve_form": ServeForm(project=membership.project),
    }
    return render_page(request, "deployment/engine_list.html", context)


@require_http_methods(["GET", "POST"])
@login_required
def edit(request: HttpRequest, slug: str, pk: int | None = None) -> HttpResponse:
    """Add an engine, or change one."""
    membership = require_member(request, slug, Role.ADMIN)
    row = get_object_or_404(OutsideEngine.objects.visible_to(membership), pk=pk) if pk else None
    form = EngineForm(request.POST or None, engine=row)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            saved = actions.save_engine(
                project=membership.project,
                name=data["name"],
                kind=EngineKind(data["kind"]),
                url=data["url"],
                key=data["key"],
                by=membership.user,
                engine=row,
            )
        except NameTaken as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, _("%(name)s is kept.") % {"name": saved.name})
            return redirect("deployment-engine-list", slug)
    status = 422 if form.errors else 200
    return render_page(request, "deployment/engine_edit.html", {"form": form, "engine": row}, status=status)


@require_POST
@login_required
def delete(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    row = get_object_or_404(OutsideEngine.objects.visible_to(membership), pk=pk)
    actions.delete_engine(engine=row, by=membership.user)
    messages.success(request, _("The engine is forgotten. The embedded engine answers for its models."))
    return redirect("deployment-engine-list", slug)


@require_POST
@login_required
def serve(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    row = get_object_or_404(OutsideEngine.objects.visible_to(membership), pk=pk)
    form = ServeForm(request.POST, project=membership.project)
    if form.is_valid():
        served = actions.serve(
            engine=row, model=form.chosen, served_name=form.cleaned_data["served_name"], by=membership.user
        )
        said = _("%(engine)s answers for %(model)s from now on.")
        messages.success(request, said % {"engine": row.name, "model": served.model_name})
    else:
        messages.error(request, _("Choose a model, and say what it is called there."))
    return redirect("deployment-engine-list", slug)


@require_POST
@login_required
def stop(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    rows = ServedModel.objects.select_related("engine", "tuned_model", "base_model")
    served = get_object_or_404(rows.filter(project=membership.project), pk=pk)
    actions.stop_serving(served=served, by=membership.user)
    messages.success(request, _("The embedded engine answers for %(model)s again.") % {"model": served.model_name})
    return redirect("deployment-engine-list", slug)
