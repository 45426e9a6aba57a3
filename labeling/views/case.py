from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from common.checks import CheckError, clean_check, passes
from common.diff import diff
from common.htmx import render_page
from labeling.actions.activity import record_activity
from labeling.actions.case import claim_case, correct_case, dismiss_case, release_case, save_case_draft, take_case
from labeling.actions.errors import HeldByOther, LabelingError, NotCorrectable, StaleDraft
from labeling.actions.regression_test import explain_check
from labeling.forms.case import CorrectionForm, DismissForm
from labeling.models import Case, Correction, Draft, MachineDraft, Membership, User
from labeling.queries import current_instructions, require_member
from labeling.queries.case import case_timeline, case_workers, near_cases, question_of
from labeling.rewording import propose_rewordings
from labeling.states import CaseState, CheckKind, Role, Severity


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
    case = find_case(membership, pk)
    draft = request.GET.get("machine", "")
    machine = (
        case.machine_drafts.filter(pk=int(draft)).first() if draft.isdecimal() and membership.is_reviewer else None
    )
    return render_page(request, "labeling/case_show.html", case_page(membership, case, machine=machine))


@require_POST
@login_required
def case_claim(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    case = find_case(membership, pk)
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
        release_case(case=find_case(membership, pk), by=membership.user)
    except LabelingError as error:
        messages.error(request, str(error))
        return redirect("labeling-case-show", slug, pk)
    return _go_on(slug, pk) if request.POST.get("then") == "next" else redirect("labeling-case-list", slug)


@require_POST
@login_required
def case_dismiss(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    case = find_case(membership, pk)
    form = DismissForm(request.POST)
    if not form.is_valid():
        context = case_page(membership, case) | {"dismiss_form": form}
        return render_page(request, "labeling/case_show.html", context, status=422)
    try:
        dismiss_case(case=case, by=membership.user, reason=form.cleaned_data["reason"])
    except LabelingError as error:
        messages.error(request, str(error))
        return redirect("labeling-case-show", slug, pk)
    messages.success(request, _with_undo(request, case, _("Case %(case)s is dismissed: the original is fine.")))
    return _go_on(slug, pk)


@require_POST
@login_required
def case_draft(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Save what is being typed; answer with the diff, the checks tried out, and how the saving went."""
    membership = require_member(request, slug, Role.REVIEWER)
    record_activity(membership=membership)
    case = find_case(membership, pk)
    form = CorrectionForm(request.POST)
    form.is_valid()
    content = form.content()
    if probe := request.POST.get("take", "").strip():  # a proposed probe that is taken
        content["probes"] = f"{content['probes'].rstrip()}\n{probe}".strip()
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
    record_activity(membership=membership)
    case = find_case(membership, pk)
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
                seen=form.cleaned_data["seen"],
                machine_draft=MachineDraft.objects.filter(pk=form.cleaned_data["machine_draft"] or 0).first(),
                is_confirmed=form.cleaned_data["is_confirmed"],
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
    context = case_page(membership, case, form)
    if status == 409:
        context |= _two_texts(case, form, context["corrections"])
    return render_page(request, "labeling/case_show.html", context, status=status)


def find_case(membership: Membership, pk: int) -> Case:
    rows = Case.objects.visible_to(membership).select_related("project", "leased_by", "assignee", "merged_into")
    return get_object_or_404(rows, pk=pk)


def _with_undo(request: HttpRequest, case: Case, sentence: str) -> str:
    """Return the sentence with a button that takes the dismissal back."""
    return format_html(
        '{} <form method="post" action="{}"><input type="hidden" name="csrfmiddlewaretoken" value="{}">'
        '<button type="submit" class="link-button" data-key="u">{}</button></form>',
        sentence % {"case": case},
        reverse("labeling-case-reopen", args=[case.project.slug, case.pk]),
        get_token(request),
        _("Undo"),
    )


def _go_on(slug: str, pk: int) -> HttpResponse:
    response = redirect("labeling-case-next", slug)
    response["Location"] += f"?after={pk}"
    return response


def _draft(case: Case, user: User) -> Draft | None:
    return Draft.objects.filter(case=case, user=user).first()


def _two_texts(case: Case, form: CorrectionForm, corrections: list[dict[str, Any]]) -> dict[str, Any]:
    """What a late correction is shown: the text that stands, its own, and what differs. It may be sent once more, knowingly."""
    theirs = corrections[0]["row"].text if corrections else ""
    mine = form["text"].value() or ""
    return {
        "is_stale": True,
        "is_open_again": case.can_be_corrected,
        "theirs": theirs,
        "stale_diff": diff(theirs, mine) if theirs else [],
    }


def case_page(
    membership: Membership, case: Case, form: CorrectionForm | None = None, machine: MachineDraft | None = None
) -> dict[str, Any]:
    """What the page of a case shows; the editor where the person holds the case or has just sent one.

    `machine` is a model's draft that the editor is to open with.
    """
    user = membership.user
    corrections = list(case.corrections.select_related("author").order_by("-pk"))
    test = getattr(case, "test", None)
    is_held = case.state == CaseState.CLAIMED and case.leased_by_id == user.pk
    draft = _draft(case, user) if membership.is_reviewer else None
    if form is None and is_held:
        form = CorrectionForm(initial=_start(case, corrections, draft, machine))
    is_triaged = membership.is_reviewer and case.can_be_corrected
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
        "seen": corrections[0].pk if corrections else 0,
        "proposals": propose_rewordings(question_of(case)) if form else [],
        "near": near_cases(case) if membership.is_reviewer else [],
        "merged": list(case.merged_cases.order_by("pk")) if membership.is_reviewer else [],
        "severities": Severity.choices,
        "workers": case_workers(membership.project) if is_triaged else [],
        "is_triaged": is_triaged,
    }
    return context | (_preview(case, form.content()) if form else {})


def _start(
    case: Case, corrections: list[Correction], draft: Draft | None, machine: MachineDraft | None
) -> dict[str, Any]:
    """Return what the editor opens with: the draft, else the last correction, else the wrong output.

    A machine's draft takes the place of the wrong output, and stands below any text that a person wrote.
    """
    start = _own_start(case, corrections, draft)
    if machine is not None:
        is_untouched = start["text"].split() == case.wrong_output.split()
        start["text"] = machine.text if is_untouched else f"{start['text']}\n\n{machine.text}"
        start["machine_draft"] = machine.pk
    return start


def _own_start(case: Case, corrections: list[Correction], draft: Draft | None) -> dict[str, Any]:
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
    n_blind = sum(row.get("on_wrong", False) for row in tried)
    return {"diff": diff(case.wrong_output, content["text"]), "tried": tried, "n_blind": n_blind}
