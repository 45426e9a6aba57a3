"""The suites of a project's own, which every evaluation asks beside the cases."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from common.htmx import render_page
from labeling.queries import require_member
from labeling.states import Role
from training.actions.errors import FileRefused, NameTaken
from training.actions.suite import add_suite, remove_suite
from training.forms.suite import SuiteForm
from training.models import OwnSuite


@require_http_methods(["GET", "POST"])
@login_required
def suite_list(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    form = SuiteForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        name = form.cleaned_data["name"]
        try:
            add_suite(project=membership.project, name=name, lines=form.lines, by=membership.user)
        except NameTaken as error:
            form.add_error("name", str(error))
        except FileRefused as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("The suite is added. The next evaluation asks it."))
            return redirect("training-suite-list", slug)
    status = 422 if form.errors else 200
    suites = OwnSuite.objects.visible_to(membership).select_related("created_by").defer("rows")
    context = {"form": form, "suites": suites}
    return render_page(
        request, "training/suite_list.html", context, fragment="training/_suite_form.html", status=status
    )


@require_POST
@login_required
def suite_remove(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    remove_suite(suite=get_object_or_404(OwnSuite.objects.visible_to(membership), pk=pk), by=membership.user)
    messages.success(request, _("The suite is removed. Reports keep what was measured on it."))
    return redirect("training-suite-list", slug)
