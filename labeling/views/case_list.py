from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Count, F, Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from common.htmx import render_page
from common.pagination import paginate
from labeling.forms.case import CaseFilterForm
from labeling.models import Case, Membership, Report
from labeling.models.case import CaseQuerySet
from labeling.queries import require_member, with_words
from labeling.states import CASE_CORRECTABLE, CaseState, Role, Severity

# The tabs of the list: the name in the address and the states behind it, None for all.
TABS: dict[str, tuple[str, ...] | None] = {
    "to-correct": CASE_CORRECTABLE,
    "corrected": (CaseState.CORRECTED, CaseState.IN_TRAINING),
    "fixed": (CaseState.FIXED,),
    "not-fixed": (CaseState.NOT_FIXED,),
    "dismissed": (CaseState.DISMISSED, CaseState.MERGED),
    "all": None,
}
ORDERS: dict[str, tuple[Any, ...]] = {
    "harm": (F("severity").desc(), F("n_reports").desc(), "pk"),
    "reports": (F("n_reports").desc(), F("severity").desc(), "pk"),
    "asked": (F("n_seen").desc(), F("severity").desc(), "pk"),
    "assignee": (F("assignee__name").asc(nulls_last=True), F("severity").desc(), "pk"),
    "oldest": ("pk",),
    "newest": ("-pk",),
}


@require_GET
@login_required
def case_list(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    form = CaseFilterForm(request.GET, project=membership.project)
    chosen = form.chosen()
    rows = _filter(Case.objects.visible_to(membership), chosen, membership.user.pk)
    n_by_state = dict(rows.order_by().values_list("state").annotate(n=Count("pk")))
    tab = _tab(request.GET)
    rows = _of_tab(rows, tab).order_by(*ORDERS[chosen.get("sort") or ("harm" if tab == "to-correct" else "newest")])
    labels = {
        "to-correct": _("To correct"),
        "corrected": _("Corrected"),
        "fixed": _("Fixed"),
        "not-fixed": _("Not fixed"),
        "dismissed": _("Dismissed or merged"),
        "all": _("All"),
    }
    tabs = [
        {"name": name, "label": labels[name], "n": sum(n for state, n in n_by_state.items() if not of or state in of)}
        for name, of in TABS.items()
    ]
    context = {
        "page": paginate(request, rows.select_related("leased_by", "assignee", "merged_into")),
        "tabs": tabs,
        "tab": tab,
        "filter_form": form,
        "severities": Severity.choices,
        "people": [(key, name) for key, name in form.fields["person"].choices if key],  # type: ignore[attr-defined]
        "is_filtered": form.is_filtered(),
        "query": form.query(),
        "bulk_query": f"state={tab}{form.query()}",
        "n_to_correct": tabs[0]["n"],
        "n_all": tabs[-1]["n"],
    }
    return render_page(request, "labeling/case_list.html", context, fragment="labeling/_case_results.html")


def matching_cases(membership: Membership, query: QueryDict) -> CaseQuerySet:
    """Return the cases that the list shows, on all its pages, for the tail of its address. What makes no sense finds none."""
    form = CaseFilterForm(query, project=membership.project)
    rows = _filter(Case.objects.visible_to(membership), form.chosen(), membership.user.pk)
    return _of_tab(rows, _tab(query)) if form.is_valid() else rows.none()


def _tab(query: QueryDict) -> str:
    tab = query.get("state", "")
    return tab if tab in TABS else "to-correct"


def _of_tab(rows: CaseQuerySet, tab: str) -> CaseQuerySet:
    states = TABS[tab]
    return rows if states is None else rows.filter(state__in=states)


def _filter(rows: CaseQuerySet, chosen: dict[str, Any], user_pk: int) -> CaseQuerySet:
    if chosen.get("severity"):
        rows = rows.filter(severity=int(chosen["severity"]))
    if chosen.get("reason"):
        rows = rows.filter(pk__in=Report.objects.filter(reason=chosen["reason"]).values("case_id"))
    if chosen.get("model"):
        rows = rows.filter(model_name__icontains=chosen["model"])
    person = user_pk if chosen.get("mine") else chosen.get("person")
    if person:
        held = Q(leased_by=person, state=CaseState.CLAIMED)
        rows = rows.filter(Q(assignee=person) | held)
    if chosen.get("q"):
        rows = with_words(rows, chosen["q"])
    return rows
