from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from common.checks import CheckError, clean_check, passes
from common.diff import diff
from common.htmx import render_page
from common.pagination import paginate
from labeling.actions.case import claim_case, correct_case, dismiss_case, release_case, save_case_draft, take_case
from labeling.actions.errors import HeldByOther, LabelingError, NotCorrectable, StaleDraft
from labeling.actions.regression_test import explain_check
from labeling.forms.case import CorrectionForm, DismissForm
from labeling.models import Case, Correction, Draft, Membership, User
from labeling.queries import case_timeline, current_instructions, require_member, search_text
from labeling.states import CASE_CORRECTABLE, CaseState, CheckKind, Role

# The tabs of the list: the name in the address and the states behind it, None for all.
TABS: dict[str, tuple[str, ...] | None] = {
    "to-correct": CASE_CORRECTABLE,
    "corrected": (CaseState.CORRECTED, CaseState.IN_TRAINING),
    "fixed": (CaseState.FIXED,),
    "not-fixed": (CaseState.NOT_FIXED,),
    "dismissed": (CaseState.DISMISSED,),
    "all": None,
}


@require_GET
@login_required
def case_list(request: HttpRequest, slug: str) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    rows = Case.objects.visible_to(membership)
    n_by_state = dict(rows.order_by().values_list("state").annotate(n=Count("pk")))
    tab = request.GET.get("state", "")
    tab = tab if tab in TABS else "to-correct"
    states = TABS[tab]
    rows = rows.to_correct() if tab == "to-correct" else rows.order_by("-pk")
    if states is not None:
        rows = rows.filter(state__in=states)
    words = request.GET.get("q", "").strip()
    if words:
        rows = search_text(rows, words, "messages", "wrong_output")
    labels = {
        "to-correct": _("To correct"),
        "corrected": _("Corrected"),
        "fixed": _("Fixed"),
        "not-fixed": _("Not fixed"),
        "dismissed": _("Dismissed"),
        "all": _("All"),
    }
    tabs = [
        {"name": name, "label": labels[name], "n": sum(n for state, n in n_by_state.items() if not of or state in of)}
        for name, of in TABS.items()
    ]
    context = {
        "page": paginate(request, rows.select_related("leased_by")),
        "tabs": tabs,
        "tab": tab,
        "words": words,
        "n_to_correct": tabs[0]["n"],
        "n_all": tabs[-1]["n"],
    }
    return render_page(request, "labeling/case_list.html", context, fragment="labeling/_case_table.html")


@require_GET
@login_required
def case_next(request: HttpRequest, slug: str) -> HttpResponse:
    """Claim the first free case of the queue and go to it; the list says so when none waits."""
    membership = require_member(request, slug, Role.REVIEWER)
    after = request.GET.get("after", "")
    case = take_case(project=membership.project, by=membership.user, after=int(after) if after.isdecimal() else 0)
    if case is None:
        messages.info(request, _("No case waits for a correction."))
        return redirect("labeling-case-list", slug)
    return redirect("labeling-case-show", slug, case.pk)


@require_GET
@login_required
def case_show(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug)
    case = _find(membership, pk)
    return render_page(request, "labeling/case_show.html", _page(membership, case))


@require_POST
@login_required
def case_claim(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    case = _find(membership, pk)
    try:
        claim_case(case=case, by=membership.user)
    except LabelingError as error:
        messages.error(request, str(error))
    return redirect("labeling-case-show", slug, pk)


@require_POST
@login_required
def case_release(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Give the case back; `then=next` goes on to another one."""
    membership = require_member(request, slug, Role.REVIEWER)
    try:
        release_case(case=_find(membership, pk), by=membership.user)
    except LabelingError as error:
        messages.error(request, str(error))
        return redirect("labeling-case-show", slug, pk)
    return _go_on(slug, pk) if request.POST.get("then") == "next" else redirect("labeling-case-list", slug)


@require_POST
@login_required
def case_dismiss(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    case = _find(membership, pk)
    form = DismissForm(request.POST)
    if not form.is_valid():
        context = _page(membership, case) | {"dismiss_form": form}
        return render_page(request, "labeling/case_show.html", context, status=422)
    try:
        dismiss_case(case=case, by=membership.user, reason=form.cleaned_data["reason"])
    except LabelingError as error:
        messages.error(request, str(error))
        return redirect("labeling-case-show", slug, pk)
    messages.success(request, _("Case %(case)s is dismissed: the original is fine.") % {"case": case})
    return _go_on(slug, pk)


@require_POST
@login_required
def case_draft(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Save what is being typed; answer with the diff, the checks tried out, and how the saving went."""
    membership = require_member(request, slug, Role.REVIEWER)
    case = _find(membership, pk)
    form = CorrectionForm(request.POST)
    form.is_valid()
    content = form.content()
    revision = form.cleaned_data.get("revision") or 0
    problem, draft, other = "", None, None
    try:
        draft = save_case_draft(case=case, by=membership.user, content=content, revision=revision)
    except StaleDraft as error:  # the page keeps the revision that it knows, so that its next save is refused as well
        problem, other = str(error), error.draft
    except (HeldByOther, NotCorrectable) as error:
        problem, draft = str(error), _draft(case, membership.user)
    if not request.htmx:  # type: ignore[attr-defined]
        messages.info(request, problem or _("The draft is saved."))
        return redirect("labeling-case-show", slug, pk)
    context = _preview(case, content) | {
        "draft": draft,
        "other": other,
        "problem": problem,
        "revision": draft.revision if draft else revision,
    }
    return render_page(request, "labeling/_case_preview.html", context, status=409 if problem else 200)


@require_POST
@login_required
def case_correct(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    case = _find(membership, pk)
    form = CorrectionForm(request.POST)
    status = 422
    if form.is_valid():
        try:
            correct_case(
                case=case,
                text=form.cleaned_data["text"],
                by=membership.user,
                note=form.cleaned_data["note"],
                checks=form.check_rows(),
                probes=form.probe_lines(),
            )
        except (HeldByOther, NotCorrectable) as error:
            case.refresh_from_db()
            form.blame(error)
            status = 409
        except LabelingError as error:
            form.blame(error)
        else:
            messages.success(
                request,
                _("Case %(case)s is corrected: one example, one preference pair, one test.") % {"case": case},
            )
            return _go_on(slug, pk)
    context = _page(membership, case, form) | {"is_stale": status == 409}
    return render_page(request, "labeling/case_show.html", context, status=status)


def _find(membership: Membership, pk: int) -> Case:
    rows = Case.objects.visible_to(membership).select_related("project", "leased_by")
    return get_object_or_404(rows, pk=pk)


def _go_on(slug: str, pk: int) -> HttpResponse:
    response = redirect("labeling-case-next", slug)
    response["Location"] += f"?after={pk}"
    return response


def _draft(case: Case, user: User) -> Draft | None:
    return Draft.objects.filter(case=case, user=user).first()


def _page(membership: Membership, case: Case, form: CorrectionForm | None = None) -> dict[str, Any]:
    """What the page of a case shows; the editor where the person holds the case or has just sent one."""
    user = membership.user
    corrections = list(case.corrections.select_related("author").order_by("-pk"))
    test = getattr(case, "test", None)
    is_held = case.state == CaseState.CLAIMED and case.leased_by_id == user.pk
    draft = _draft(case, user) if membership.is_reviewer else None
    if form is None and is_held:
        form = CorrectionForm(initial=_start(case, corrections, draft))
    context = {
        "case": case,
        "corrections": [
            {"row": row, "diff": diff(case.wrong_output, row.text), "is_latest": row is corrections[0]}
            for row in corrections
        ],
        "test": test,
        "probes": list(test.probes.order_by("pk")) if test else [],
        "checks": [{**check, "label": CheckKind(check["kind"]).label} for check in test.checks] if test else [],
        "timeline": case_timeline(case, membership),
        "instructions": current_instructions(membership.project),
        "is_held": is_held,
        "holder": case.leased_by if case.is_held_by_other(user) else None,
        "form": form,
        "draft": draft,
        "revision": (form["revision"].value() or 0) if form else 0,
        "dismiss_form": DismissForm(),
    }
    return context | (_preview(case, form.content()) if form else {})


def _start(case: Case, corrections: list[Correction], draft: Draft | None) -> dict[str, Any]:
    """Return what the editor opens with: the draft, else the last correction, else the wrong output."""
    if draft is not None:
        return {**draft.content, "revision": draft.revision}
    if not corrections:
        return {"text": case.wrong_output}
    test = getattr(case, "test", None)
    return {
        "text": corrections[0].text,
        "note": corrections[0].note,
        "checks": test.checks if test else [],
        "probes": "\n".join(probe.messages[-1]["content"] for probe in test.probes.order_by("pk")) if test else "",
    }


def _preview(case: Case, content: dict[str, Any]) -> dict[str, Any]:
    """Return the diff against the wrong output, and each check tried on both texts."""
    tried = []
    for number, check in enumerate(content["checks"], 1):
        try:
            rule = clean_check(check)
        except CheckError as error:
            tried.append({"check": check, "error": explain_check(error.code, number)})
        else:
            tried.append(
                {
                    "check": rule,
                    "label": CheckKind(rule["kind"]).label,
                    "on_text": passes(rule, content["text"]),
                    "on_wrong": passes(rule, case.wrong_output),
                }
            )
    return {"diff": diff(case.wrong_output, content["text"]), "tried": tried}
