"""The catalog of base models, which all projects share: admins of any project look, superusers change."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from common.htmx import STOP_POLLING, render_page
from labeling.models import Membership, User
from labeling.queries import require_member
from labeling.states import Role
from training.actions.catalog import add_base_model, choose_default, edit_base_model
from training.actions.errors import NameTaken, NotPossible
from training.actions.pulling import cancel_pull, request_pull
from training.forms.base_model import BaseModelAddForm, BaseModelEditForm
from training.models import BaseModel


@require_GET
@login_required
def base_model_list(request: HttpRequest) -> HttpResponse:
    _require_admin(request)
    base_models = BaseModel.objects.order_by("-is_default", "name")
    return render_page(request, "training/base_model_list.html", {"base_models": base_models})


@require_GET
@login_required
def base_model_show(request: HttpRequest, pk: int) -> HttpResponse:
    """One entry. Its state is a piece that polls while the weights are fetched."""
    _require_admin(request)
    base_model = get_object_or_404(BaseModel, pk=pk)
    is_done = request.htmx and not base_model.is_at_work  # type: ignore[attr-defined]
    return render_page(
        request,
        "training/base_model_show.html",
        {"base_model": base_model},
        fragment="training/_base_model_state.html",
        status=STOP_POLLING if is_done else 200,
    )


@require_http_methods(["GET", "POST"])
@login_required
def base_model_add(request: HttpRequest) -> HttpResponse:
    by = _require_superuser(request)
    form = BaseModelAddForm(request.POST or None)
    if form.is_valid():
        try:
            base_model = add_base_model(by=by, **form.cleaned_data)
        except NameTaken as error:
            form.add_error("slug", str(error.message))
        else:
            request_pull(base_model=base_model, by=by)
            return redirect("training-base-model-show", base_model.pk)
    return _form_page(request, {"form": form})


@require_http_methods(["GET", "POST"])
@login_required
def base_model_edit(request: HttpRequest, pk: int) -> HttpResponse:
    by = _require_superuser(request)
    base_model = get_object_or_404(BaseModel, pk=pk)
    form = BaseModelEditForm(request.POST or None, initial=BaseModelEditForm.values_of(base_model))
    if form.is_valid():
        try:
            edit_base_model(base_model=base_model, by=by, **form.cleaned_data)
        except NameTaken as error:
            form.add_error("aliases", str(error.message))
        else:
            messages.success(request, _("The base model is saved."))
            return redirect("training-base-model-show", pk)
    return _form_page(request, {"form": form, "base_model": base_model})


@require_POST
@login_required
def base_model_pull(request: HttpRequest, pk: int) -> HttpResponse:
    by = _require_superuser(request)
    request_pull(base_model=get_object_or_404(BaseModel, pk=pk), by=by)
    return redirect("training-base-model-show", pk)


@require_POST
@login_required
def base_model_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    by = _require_superuser(request)
    try:
        cancel_pull(base_model=get_object_or_404(BaseModel, pk=pk), by=by)
    except NotPossible as error:
        messages.error(request, str(error))
    return redirect("training-base-model-show", pk)


@require_POST
@login_required
def base_model_default(request: HttpRequest, slug: str) -> HttpResponse:
    """Choose what the project's jobs begin with; nothing chosen: the default of the catalog."""
    membership = require_member(request, slug, Role.ADMIN)
    wanted = request.POST.get("base_model", "")
    base_model = get_object_or_404(BaseModel, slug=wanted) if wanted else None
    choose_default(project=membership.project, base_model=base_model, by=membership.user)
    messages.success(request, _("The project's base model is saved."))
    return redirect("training-model-list", slug)


def _form_page(request: HttpRequest, context: dict[str, object]) -> HttpResponse:
    status = 422 if request.method == "POST" else 200
    fragment = "training/_base_model_form.html"
    return render_page(request, "training/base_model_form.html", context, fragment=fragment, status=status)


def _require_admin(request: HttpRequest) -> User:
    """Return the person, who is a superuser or an admin of some project."""
    user = request.user
    assert isinstance(user, User)
    if not user.is_superuser:
        own = Membership.objects.filter(user=user, role=Role.ADMIN, is_active=True)
        if not own.exists():
            raise PermissionDenied
    return user


def _require_superuser(request: HttpRequest) -> User:
    if not request.user.is_superuser:
        raise PermissionDenied
    assert isinstance(request.user, User)
    return request.user
