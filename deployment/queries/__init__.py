"""Reads that several callers share."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from common.conversations import Message
from deployment.models import Completion, Conversation, Cycle, Deployment, ServedModel
from deployment.models.traffic import CompletionQuerySet
from deployment.states import CYCLE_ENDED, CompletionState, CycleState, StopCode
from labeling.models import ApiKey, Case, Membership, Project
from labeling.states import CaseState
from training.models import BaseModel, DatasetRow, Evaluation, EvaluationResult, TunedModel
from training.queries import measures, passes
from training.queries.gate import gate_rules
from training.states import EvaluationState, Suite

ASSISTANT = "assistant"


@dataclass
class Turn:
    """One question of a chat and the newest answer of each side."""

    number: int
    system: str
    question: str
    answers: list[Completion] = field(default_factory=list)
    n_attempts: int = 0
    is_last: bool = False


def turns_of(conversation: Conversation) -> list[Turn]:
    """Return the chat in order. Of several answers to one question (a new attempt, a failed one) each side shows its newest."""
    newest: dict[int, dict[int, Completion]] = {}
    attempts: dict[int, int] = {}
    rows = conversation.completions.select_related("case", "tuned_model", "deployment").order_by("pk")
    for completion in rows:
        number = sum(message["role"] == "user" for message in completion.messages)
        sides = newest.setdefault(number, {})
        if sides and next(iter(sides.values())).messages[-1] != completion.messages[-1]:
            sides.clear()  # the question was put anew after nobody had answered it
        sides[completion.side] = completion
        attempts[number] = attempts.get(number, 0) + 1
    turns = [
        Turn(
            number=number,
            system=_system_of(next(iter(sides.values())).messages),
            question=next(iter(sides.values())).messages[-1]["content"],
            answers=[sides[side] for side in sorted(sides)],
            n_attempts=attempts[number],
        )
        for number, sides in sorted(newest.items())
    ]
    if turns:
        turns[-1].is_last = True
    return turns


def prompt_for(turns: list[Turn], *, side: int, system: str, text: str) -> list[Message]:
    """Return the conversation that `side` is to answer: its own earlier answers, then the new question.

    Where a side has no answer to a turn (it failed, or the column is new) the other side's stands in, so that both
    columns always speak of the same turn; a question that nobody answered is left out.
    """
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    for turn in turns:
        spoken = [answer for answer in turn.answers if answer.response.strip()]
        if not spoken:
            continue
        own = next((answer for answer in spoken if answer.side == side), spoken[0])
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": own.response.strip()})
    messages.append({"role": "user", "content": text})
    return messages


def _system_of(messages: list[Message]) -> str:
    return messages[0]["content"] if messages and messages[0]["role"] == "system" else ""


def targets_of(project: Project) -> list[tuple[str, str]]:
    """Return whom one can ask, as (target, kind): the deployment, the project's models, the base models that are ready."""
    models = [(name, "model") for name in TunedModel.objects.filter(project=project).values_list("name", flat=True)]
    bases = [(base.slug, "base") for base in BaseModel.objects.order_by("-is_default", "slug") if base.is_ready]
    return [(ASSISTANT, "deployment"), *models, *bases]


def latest_evaluation(model: TunedModel) -> Evaluation | None:
    """Return the newest finished evaluation of the model; one with probes before one without."""
    return (
        Evaluation.objects.filter(tuned_model=model, state=EvaluationState.SUCCEEDED)
        .select_related("baseline")
        .order_by("-has_probes", "-pk")
        .first()
    )


@dataclass
class Candidate:
    """A model that could go live, with its newest evaluation and the gate's verdict on it; None: not measured."""

    model: TunedModel
    evaluation: Evaluation | None
    verdict: bool | None
    numbers: dict[str, Any]


def candidates(project: Project, *, limit: int = 20) -> list[Candidate]:
    """Return the project's newest models."""
    models = list(TunedModel.objects.filter(project=project).select_related("job__dataset_version")[:limit])
    best: dict[int | None, Evaluation] = {}
    evaluations = Evaluation.objects.filter(tuned_model__in=models, state=EvaluationState.SUCCEEDED)
    evaluations = evaluations.select_related("baseline")
    for evaluation in evaluations.order_by("has_probes", "pk"):
        best[evaluation.tuned_model_id] = evaluation
    found = [(model, best.get(model.pk)) for model in models]
    return [
        Candidate(model, evaluation, verdict_of(evaluation), measures(evaluation) if evaluation else {})
        for model, evaluation in found
    ]


def verdict_of(evaluation: Evaluation | None) -> bool | None:
    """Return whether the gate passed; None where it has not spoken."""
    return passes(evaluation) if evaluation is not None and evaluation.gate else None


def settled_cases(*, model: TunedModel, evaluation: Evaluation) -> list[tuple[Case, bool]]:
    """Return the cases on which a deployment of `model` gives a verdict, each with whether it is fixed.

    A case is fixed when its own regression line is right and so are at least half of its probes. It gets a verdict when
    the measured correction is the one that stands now, and when the model was trained on it or the case was fixed before.
    """
    lines: dict[int, dict[str, list[bool]]] = {}
    rows = EvaluationResult.objects.filter(
        evaluation=evaluation,
        suite__in=[Suite.REGRESSION, Suite.PROBE],
        test__is_active=True,
        test__correction__created_at__lte=evaluation.created_at,
    )
    for case_pk, suite, is_right in rows.values_list("test__case_id", "suite", "is_right"):
        lines.setdefault(case_pk, {}).setdefault(suite, []).append(bool(is_right))
    trained = set(
        DatasetRow.objects.filter(
            version=model.job.dataset_version_id,
            example__correction=F("example__correction__case__test__correction"),
        ).values_list("example__correction__case_id", flat=True)
    )
    settling = (CaseState.CORRECTED, CaseState.IN_TRAINING, CaseState.NOT_FIXED)
    verdicts = []
    for case in Case.objects.filter(pk__in=lines, state__in=[*settling, CaseState.FIXED]).order_by("pk"):
        own, probes = lines[case.pk].get(Suite.REGRESSION, []), lines[case.pk].get(Suite.PROBE, [])
        if not own or (case.state != CaseState.FIXED and case.pk not in trained):
            continue
        verdicts.append((case, all(own) and 2 * sum(probes) >= len(probes)))
    return verdicts


def cycles_at_work(project: Project | None = None) -> "QuerySet[Cycle]":
    """Return the cycles that have a next step, of one project or of all."""
    rows = Cycle.objects.exclude(state__in=CYCLE_ENDED).select_related("project")
    return rows.filter(project=project) if project is not None else rows


@dataclass
class CycleStep:
    """One step of a cycle's story. `state`: done, busy, wait or failed; `rules` are the gate's, with their words."""

    code: str
    label: str
    state: str
    rules: list[dict[str, Any]] = field(default_factory=list)


def cycle_steps(cycle: Cycle) -> list[CycleStep]:
    """Return the four steps of a cycle and how far each has come."""
    order = [CycleState.COLLECTING, CycleState.TRAINING, CycleState.EVALUATING, CycleState.PROMOTED]
    labels = [_("Collect"), _("Train"), _("Evaluate"), _("Decide")]
    if cycle.state != CycleState.STOPPED:
        reached = order.index(CycleState(cycle.state)) if cycle.state in order else 3  # waiting for approval
        states = ["done"] * reached + ["busy"] + ["wait"] * (len(order) - reached - 1)
        if cycle.state == CycleState.PROMOTED:
            states[-1] = "done"
    else:
        judged = cycle.evaluation is not None and bool(cycle.evaluation.gate)
        reached = 3 if judged else 2 if cycle.evaluation else 1 if cycle.job else 0
        states = ["done"] * reached + ["failed"] + ["wait"] * (len(order) - reached - 1)
        if cycle.summary.get("stop_code") in (StopCode.NOTHING_NEW, StopCode.HELD, StopCode.CANARY):
            states[reached] = "done"
    rules = gate_rules(cycle.evaluation) if cycle.evaluation else []
    return [
        CycleStep(str(code), label, state, rules if code == CycleState.PROMOTED else [])
        for code, label, state in zip(order, labels, states, strict=True)
    ]


def log_matching(rows: CompletionQuerySet, text: str) -> CompletionQuerySet:
    """Return the completions that say the text, in the answer or in the conversation before it.

    SQLite keeps JSON with escapes, so letters beyond ASCII are also looked for in that form.
    """
    escaped = json.dumps(text)[1:-1]
    return rows.filter(Q(response__icontains=text) | Q(messages__icontains=text) | Q(messages__icontains=escaped))


def warm_models(*, limit: int) -> list[TunedModel | BaseModel]:
    """Return the models that the engine should hold: what is live, the most recently used first, then the candidates.

    Not those for which an engine outside answers."""
    rows = Deployment.objects.select_related("live_model", "candidate_model", "base_model")
    rows = rows.annotate(used=Max("completions__pk")).order_by(F("used").desc(nulls_last=True), "pk")
    served = {
        (row.project_id, row.tuned_model or row.base_model)
        for row in ServedModel.objects.select_related("tuned_model", "base_model")
    }
    wanted = [(row.project_id, row.live_model or row.base_model) for row in rows]
    wanted += [(row.project_id, row.candidate_model) for row in rows if row.candidate_model]
    return [model for project_pk, model in wanted if (project_pk, model) not in served][:limit]


def week_of_traffic(project: Project) -> dict[str, int]:
    """Return `n_completions`, `n_up`, `n_down` and `n_failed` of the last seven days."""
    rows = Completion.objects.filter(project=project, created_at__gte=timezone.now() - timedelta(days=7))
    return rows.aggregate(
        n_completions=Count("pk"),
        n_up=Count("pk", filter=Q(rating=1)),
        n_down=Count("pk", filter=Q(rating=-1)),
        n_failed=Count("pk", filter=Q(state=CompletionState.FAILED)),
    )


def reports_by(membership: Membership) -> "QuerySet[Case]":
    """Return the cases that the person reported in the project, the newest report first."""
    return (
        Case.objects.filter(project_id=membership.project_id, reports__reporter_id=membership.user_id)
        .select_related("merged_into")
        .annotate(reported_at=Max("reports__created_at"))
        .order_by("-reported_at")
    )


def keys_with_usage(membership: Membership) -> QuerySet[ApiKey]:
    """Return the project's keys with `n_answers`, `n_tokens_read` and `n_tokens_written`, the usable ones first."""
    return (
        ApiKey.objects.visible_to(membership)
        .select_related("user")
        .annotate(
            n_answers=Count("completions"),
            n_tokens_read=Sum("completions__n_prompt_tokens"),
            n_tokens_written=Sum("completions__n_completion_tokens"),
        )
        .order_by(F("revoked_at").desc(nulls_first=True), "-pk")
    )
