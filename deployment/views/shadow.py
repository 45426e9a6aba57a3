from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from common.diff import diff
from common.htmx import render_page
from deployment.actions.errors import JudgedAlready, NotAnswered
from deployment.actions.shadow import judge_shadow
from deployment.forms.release import ShadowForm
from deployment.models import ShadowAnswer
from deployment.queries.release import shadow_counts
from deployment.states import ShadowVerdict
from labeling.actions.errors import LabelingError
from labeling.models import Membership
from labeling.queries import require_member
from labeling.states import Role

KEYS = ("1", "2", "3", "4")


@require_GET
@login_required
def index(request: HttpRequest, slug: str) -> HttpResponse:
    """The next difference between the live model and a candidate in shadow, to be judged."""
    return _page(request, require_member(request, slug, Role.REVIEWER))


@require_POST
@login_required
def judge(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    shadow = get_object_or_404(ShadowAnswer.objects.visible_to(membership).select_related("completion__project"), pk=pk)
    form = ShadowForm(request.POST)
    if not form.is_valid():
        return _page(request, membership, problem=_("Choose what you make of the two answers."), status=422)
    verdict, opens_case = ShadowVerdict(form.cleaned_data["verdict"]), form.cleaned_data["opens_case"]
    try:
        judge_shadow(shadow=shadow, verdict=verdict, by=membership.user, opens_case=opens_case)
    except JudgedAlready as error:
        messages.info(request, str(error))
    except (NotAnswered, LabelingError) as error:
        return _page(request, membership, problem=str(error), status=422)
    return redirect("deployment-shadow-list", slug)


def _page(request: HttpRequest, membership: Membership, *, problem: str = "", status: int = 200) -> HttpResponse:
    waiting = ShadowAnswer.objects.visible_to(membership).to_judge().select_related("completion", "tuned_model")
    shadow = waiting.first()
    context = {
        "problem": problem,
        "shadow": shadow,
        "n_waiting": waiting.count(),
        "pieces": diff(shadow.completion.response, shadow.response) if shadow else [],
        "verdicts": [(value, label, key) for (value, label), key in zip(ShadowVerdict.choices, KEYS, strict=True)],
        "counts": shadow_counts(membership.project),
    }
    return render_page(request, "deployment/shadow_list.html", context, status=status)
