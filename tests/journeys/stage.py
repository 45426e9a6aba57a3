"""A project in which every page has something to show: the demo project and, beside it, what later days leave behind.

Runs in the environment of a web process: `Stage.run`.
"""

import uuid
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.utils import timezone

from deployment.actions.demo import create_demo
from deployment.models import (
    Alert,
    Completion,
    Conversation,
    Cycle,
    Deployment,
    DeploymentChange,
    Explanation,
    OutsideEngine,
    ServedModel,
    ShadowAnswer,
)
from deployment.states import (
    AlertEnd,
    AlertMeasure,
    ChangeKind,
    CompletionState,
    CycleState,
    EngineKind,
    ExplanationState,
    Stage,
)
from labeling.actions.api_key import create_key
from labeling.actions.bulk import run_bulk
from labeling.actions.case import report_output
from labeling.actions.comparison import create_comparison, vote
from labeling.actions.gold import mark_gold
from labeling.actions.pay import set_rate
from labeling.actions.people import invite
from labeling.actions.retraction import retract_example
from labeling.actions.review import review_submission
from labeling.actions.submission import submit
from labeling.actions.task import next_task
from labeling.actions.thread import Passage
from labeling.actions.webhook import add_webhook, send_test
from labeling.models import (
    ActiveTime,
    Case,
    Example,
    ExampleImport,
    GoldCopy,
    Membership,
    Project,
    PromptImport,
    RegressionTest,
    Review,
    SecondReview,
    Skip,
    Submission,
    Task,
    User,
)
from labeling.states import (
    ComparisonOutcome,
    ComparisonSource,
    ComparisonState,
    ExampleKind,
    PromptImportState,
    RateUnit,
    Reason,
    Role,
    SkipReason,
    Source,
    TaskState,
    Verdict,
    VoteChoice,
    WebhookEvent,
)
from tests.factories import (
    ComparisonFactory,
    JobFactory,
    MembershipFactory,
    TaskFactory,
    TunedModelFactory,
    UserFactory,
)
from tests.preflight_sample import ESTIMATE
from tests.preflight_sample import REPORT as PREFLIGHT
from training.actions.dataset import freeze_dataset
from training.actions.job import append_event
from training.models import BenchmarkResult, Checkpoint, Evaluation, EvaluationResult, Job, JobPreflight, Preset
from training.states import BenchmarkTool, EvaluationState, JobState, Suite

SLUG = "demo"


def fill() -> dict[str, Any]:
    """Make the project and return the sessions of its people and the keys of the rows that have pages."""
    create_demo()
    project = Project.objects.get(slug=SLUG)
    people = {row.user.email.split("@")[0]: row for row in project.memberships.select_related("user")}
    keys: dict[str, Any] = {"member": people["contractor"].pk}
    keys |= _people(project, people) | _writing(project, people) | _cases(project, people) | _judging(project, people)
    keys |= _training(project, people["admin"].user) | _traffic(project, people["admin"].user)
    _beside(project)
    return {"sessions": {name: sign_in(person.user) for name, person in people.items()}, "keys": keys}


def sign_in(user: User) -> str:
    """Begin a session for a person and return its key."""
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY], session[BACKEND_SESSION_KEY] = str(user.pk), settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return str(session.session_key)


def _people(project: Project, people: dict[str, Membership]) -> dict[str, Any]:
    admin, contractor = people["admin"].user, people["contractor"]
    project.currency = "EUR"
    project.save()
    set_rate(membership=contractor, amount=Decimal("0.75"), unit=RateUnit.PIECE, by=admin)
    now = timezone.now()
    for days in (0, 1, 8):
        day = (now - timedelta(days=days)).date()
        ActiveTime.objects.create(
            project=project, user=contractor.user, day=day, active_ms=5_400_000, last_ms=int(now.timestamp() * 1000)
        )
    paused = MembershipFactory(project=project, user=UserFactory(name="Pia Paused"), is_active=False, paused_at=now)
    paused.pause_reason = "On leave until spring."
    paused.save()
    hook, _secret = add_webhook(
        project=project, url="https://hooks.example.org/emend", events=[WebhookEvent.CASE_OPENED], by=admin
    )
    send_test(webhook=hook)
    return {
        "webhook": hook.pk,
        "token": invite(project=project, role=Role.CONTRACTOR, by=admin, email="new@example.org")[1],
    }


def _hand_in(task: Task, member: Membership, answer: str) -> Submission:
    messages = [*task.messages, {"role": "assistant", "content": answer}]
    return submit(task=task, membership=member, messages=messages, idempotency_key=uuid.uuid4())


def _writing(project: Project, people: dict[str, Membership]) -> dict[str, Any]:
    """Something of everything that a contractor, a reviewer and an admin of the queue can meet."""
    admin, reviewer, contractor = people["admin"].user, people["reviewer"].user, people["contractor"]
    waiting = Submission.objects.filter(project=project, state="submitted").order_by("pk")
    task = next_task(membership=contractor)
    assert task is not None
    returned = _hand_in(task, contractor, "The library opens at nine. Ask at the desk for the rest.")
    review_submission(
        submission=returned,
        verdict=Verdict.SEND_BACK,
        by=reviewer,
        comment="Say when it closes, too.",
        passages=[Passage(text="Which days?", turn=len(task.messages), quote="opens at nine", start=12)],
    )
    rejected = next_task(membership=contractor)
    assert rejected is not None
    review_submission(
        submission=_hand_in(rejected, contractor, "No."),
        verdict=Verdict.REJECT,
        by=reviewer,
        comment="That is no answer.",
    )
    aside = TaskFactory(project=project, state=TaskState.ASIDE)
    for number in range(3):
        member = MembershipFactory(project=project, user=UserFactory(name=f"Skipper {number}"))
        Skip.objects.create(task=aside, user=member.user, reason=SkipReason.UNCLEAR, comment="Which desk is meant?")
    gold = TaskFactory(project=project, messages=[{"role": "user", "content": "May I bring my dog?"}])
    mark_gold(task=gold, reference="No, except guide dogs.", checks=[{"kind": "max_words", "value": 20}], by=admin)
    copies = []
    for name in ("contractor", "tester"):
        copy = TaskFactory(
            project=project,
            messages=gold.messages,
            is_gold_copy=True,
            prompt_hash=f"copy of {name}",
            created_by=people[name].user,
        )
        GoldCopy.objects.create(gold=gold.gold_mark, membership=people[name], task=copy)
        copies.append(_hand_in(copy, people[name], "Guide dogs are welcome, other dogs please wait outside."))
    bulk = run_bulk(project=project, kind="tasks", what="tag", value="desk", keys=[aside.pk, task.pk], by=admin)
    examples = ExampleImport.objects.create(
        project=project,
        name="examples.jsonl",
        file_key=uuid.uuid4(),
        size_bytes=3000,
        state="done",
        format="jsonl",
        columns={"formats": ["openai-chat"]},
        n_rows=4,
        n_bad=1,
        n_handled=4,
        n_added=2,
        n_near=1,
        bad_lines=[["3", "messages[1].content: is empty", '{"messages": [']],
        near_lines=[["4", "2"]],
        preview=[{"line": "1", "messages": waiting[0].messages, "rejected": "Nobody knows."}],
        created_by=admin,
    )
    prompts = PromptImport.objects.create(
        project=project,
        state=PromptImportState.READY,
        name="prompts.csv",
        file_key=uuid.uuid4(),
        size_bytes=120,
        n_rows=3,
        n_bad=1,
        bad_lines=[[3, "There is no prompt in this line.", ",,"]],
        created_by=admin,
    )
    own = next_task(membership=contractor)
    assert own is not None
    return {
        "bulk": bulk.pk,
        "import": prompts.pk,
        "example_import": examples.pk,
        "gold": gold.gold_mark.pk,
        "gold_task": gold.pk,
        "grade": copies[0].pk,
        "task": own.pk,
        "submission": waiting[0].pk,
        "example": Example.objects.filter(project=project).first().pk,  # type: ignore[union-attr]
    }


def _cases(project: Project, people: dict[str, Membership]) -> dict[str, Any]:
    """A case with several reports and another one that is nearly the same."""
    prompt = [{"role": "user", "content": "How many books may I borrow at the same time?"}]
    for name, comment in (("tester", "It is twenty."), ("contractor", "Not what the leaflet says.")):
        report_output(
            project=project,
            messages=prompt,
            wrong_output="You may borrow three books.",
            model_name="smollm2-135m-instruct",
            reason=Reason.WRONG,
            comment=comment,
            reporter=people[name].user,
            source=Source.CHAT,
        )
    case = report_output(
        project=project,
        messages=[{"role": "user", "content": "How many books may I borrow at the same time, please?"}],
        wrong_output="Three books.",
        model_name="smollm2-135m-instruct",
        reason=Reason.HARMFUL,
        reporter=people["tester"].user,
        source=Source.CHAT,
    )
    return {"case": case.pk, "corrected": Case.objects.filter(project=project, state="corrected")[0].pk}


def _judging(project: Project, people: dict[str, Membership]) -> dict[str, Any]:
    """A comparison that waits and one that is decided; a second review that waits and one that differs."""
    pairs = []
    for number in range(2):
        pairs.append(
            create_comparison(
                project=project,
                messages=[{"role": "user", "content": f"Where do I return {number + 2} books?"}],
                answers=("At the desk.", "In the box beside the door, at any hour."),
                source=ComparisonSource.IMPORT,
            )
        )
    vote(comparison=pairs[1], membership=people["reviewer"], choice=VoteChoice.SECOND_CLEARLY, reason="It is complete.")
    reviews = Review.objects.filter(submission__project=project, verdict=Verdict.ACCEPT).order_by("pk")[:2]
    waiting = SecondReview.objects.create(submission=reviews[0].submission, first=reviews[0])
    SecondReview.objects.create(
        submission=reviews[1].submission,
        first=reviews[1],
        reviewer=people["admin"].user,
        is_accepted=False,
        reason="It says the wrong day.",
        judged_at=timezone.now(),
    )
    return {"vote": pairs[0].pk, "comparison": pairs[1].pk, "second": waiting.pk}


def _training(project: Project, admin: User) -> dict[str, Any]:
    version = freeze_dataset(project=project)
    now = timezone.now()
    job = JobFactory(project=project, dataset_version=version, state=JobState.SUCCEEDED, n_steps=4, step=4)
    append_event(job, "started", {"n_steps": 4, "hyperparameters": {"n_epochs": 2}, "auto": {"n_epochs": "few rows"}})
    for step in range(1, 5):
        data = {"step": step, "n_steps": 4, "loss": 3 / step, "tokens_per_s": 240.4, "valid_loss": 2.5}
        append_event(job, "metrics", data)
    Job.objects.filter(pk=job.pk).update(started_at=now, finished_at=now)
    smoke = {"n": 2, "n_sound": 1, "n_stopped": 1, "problem": None, "split": "valid", "loss": 1.2, "loss_before": 2.3}
    said = {
        "prompt": "Who reads?",
        "right": "The club.",
        "answer": "The book club.",
        "is_stopped": True,
        "problem": None,
    }
    samples = [said, said | {"answer": "The the the", "is_stopped": False, "problem": "loops"}]
    append_event(job, "smoke_test", smoke | {"samples": samples})
    for step in (2, 4):
        facts = {"train_loss": 2.0 / step, "valid_loss": 2.0, "valid_token_accuracy": 0.5, "size_bytes": 19_600_000}
        Checkpoint.objects.create(job=job, step=step, created_at=now, **facts)
    running = JobFactory(project=project, dataset_version=version, state=JobState.RUNNING, n_steps=9, step=3)
    Job.objects.filter(pk=running.pk).update(started_at=now, heartbeat_at=now, remaining_s=75)
    JobPreflight.objects.create(job=job, report=PREFLIGHT, estimate=ESTIMATE, finished_at=now)
    Preset.objects.create(project=project, name="Bold steps", hyperparameters={"n_epochs": 3}, created_by=admin)
    model = TunedModelFactory(project=project, job=job)
    taken_back = Example.objects.filter(project=project, kind=ExampleKind.DEMONSTRATION).latest("pk")
    retraction = retract_example(example=taken_back, by=admin, reason="Its author asked for it.")
    metrics = {"n_cases": 1, "efficacy": 1.0, "stop_rate": 1.0, "unrelated_loss": 2.0, "n_unrelated": 4, "n_probes": 0}
    common = {
        "project": project,
        "base_model": job.base_model,
        "suite_hash": "0" * 64,
        "state": EvaluationState.SUCCEEDED,
        "metrics": metrics,
        "finished_at": now,
    }
    baseline = Evaluation.objects.create(key="eval-stage-base", **common)
    evaluation = Evaluation.objects.create(
        key="eval-stage", tuned_model=model, baseline=baseline, comparison={"measures": {}}, **common
    )
    for test in RegressionTest.objects.filter(project=project)[:5]:
        for row in (baseline, evaluation):
            EvaluationResult.objects.create(
                evaluation=row,
                suite=Suite.REGRESSION,
                test=test,
                row_id=f"case-{test.case_id}",
                messages=test.messages,
                answer=test.rejected if row == baseline else test.chosen,
                is_right=row == evaluation,
            )
    measured = {
        "project": project,
        "tool": BenchmarkTool.LM_EVAL,
        "task": "gsm8k",
        "metric": "exact_match (strict-match)",
    }
    for name, value in ((model.name, 0.05), (job.base_model.slug, 0.03)):
        BenchmarkResult.objects.create(
            model_name=name,
            value=value,
            stderr=0.02,
            n=100,
            settings={"shots": 5, "version": 3.0},
            ran_at=now,
            **measured,
        )
    origins = {"origin_a": model.name, "origin_b": job.base_model.slug}
    ComparisonFactory(
        project=project,
        source=ComparisonSource.EVALUATION,
        state=ComparisonState.DECIDED,
        outcome=ComparisonOutcome.A,
        decided_at=now,
        **origins,
    )
    deployment = Deployment.objects.get(project=project)
    change = DeploymentChange.objects.create(
        deployment=deployment, kind=ChangeKind.DEPLOY, to_model=model, reason="Knows the book club.", by=admin
    )
    Deployment.objects.filter(pk=deployment.pk).update(live_model=model)
    for number in (1, 2):
        Cycle.objects.create(
            project=project,
            number=number,
            state=CycleState.PROMOTED,
            dataset_version=version,
            job=job,
            evaluation=evaluation,
            change=change,
            summary={
                "n_examples": version.n_examples,
                "model": model.name,
                "efficacy_before": 0.2,
                "efficacy_after": 0.8 + number / 20,
                "generalisation_after": 0.7 + number / 20,
                "base_drift": number / 100,
                "train_s": 170.0,
                "total_s": 300.0,
                "deployed": True,
            },
            started_by=admin,
            ended_at=now,
        )
    create_key(project=project, name="Kiosk", user=admin)
    return {
        "version": version.number,
        "job": job.key,
        "base_model": job.base_model_id,
        "running": running.key,
        "evaluation": evaluation.key,
        "cycle": 1,
    } | {
        "retraction": retraction.pk,
        "row": 0,
        "model": model.pk,
    }


def _traffic(project: Project, user: User) -> dict[str, Any]:
    question = "Is the library open on Sunday?"
    chat = Conversation.objects.create(project=project, user=user, title=question, targets=["assistant"])
    model = Deployment.objects.get(project=project).live_model
    completion = Completion.objects.create(
        key="chatcmpl-stage",
        project=project,
        user=user,
        conversation=chat,
        tuned_model=model,
        model_name=model.name,
        messages=[{"role": "user", "content": question}],
        response="Yes, **always**.",
        state=CompletionState.DONE,
        duration_s=1.2,
        n_prompt_tokens=12,
        n_completion_tokens=5,
    )
    near = [{"position": n, "score": 0.8 - n / 5, "question": 0.9, "answer": 0.7} for n in range(2)]
    Explanation.objects.create(
        completion=completion,
        version=model.job.dataset_version,
        state=ExplanationState.DONE,
        rows=near,
        asked_at=timezone.now(),
    )
    _earlier_answers(project)
    engine = _engine(project)
    now = timezone.now()
    shown = {"project": project, "threshold": 10, "model_name": "smollm2-135m-instruct", "n": 40, "seen_at": now}
    Alert.objects.create(measure=AlertMeasure.BAD, n_bad=12, began_at=now - timedelta(hours=2), **shown)
    Alert.objects.create(
        measure=AlertMeasure.FAILED,
        n_bad=9,
        began_at=now - timedelta(days=1),
        ended_at=now - timedelta(hours=20),
        end=AlertEnd.RECOVERED,
        taken_by=user,
        taken_at=now - timedelta(hours=23),
        **shown,
    )
    return {"conversation": chat.pk, "completion": completion.key, "engine": engine.pk}


def _engine(project: Project) -> OutsideEngine:
    """An engine outside that answers for the live model."""
    model = Deployment.objects.get(project=project).live_model
    engine = OutsideEngine.objects.create(
        project=project,
        name="GPU in the cellar",
        kind=EngineKind.VLLM,
        url="https://vllm.example.org/v1",
        served_names=["library-3", "library-4"],
        figures={"n_running": 3, "n_waiting": 1, "tokens_per_s": 812.4},
        looked_at=timezone.now(),
    )
    ServedModel.objects.create(project=project, engine=engine, tuned_model=model, served_name="library-4")
    return engine


def _earlier_answers(project: Project) -> None:
    """Answers of the last days, some of them bad, for the figures over time."""
    deployment = Deployment.objects.get(project=project)
    for number in range(12):
        row = Completion.objects.create(
            key=f"chatcmpl-stage-{number}",
            project=project,
            deployment=deployment,
            model_name="smollm2-135m-instruct",
            messages=[{"role": "user", "content": "When do you open?"}],
            response="At nine.",
            state=CompletionState.DONE,
            rating=-1 if number % 4 == 0 else 1,
            time_to_first_token_s=0.1 + number / 50,
            duration_s=1 + number / 10,
            n_prompt_tokens=10,
            n_completion_tokens=30 + number,
        )
        Completion.objects.filter(pk=row.pk).update(created_at=timezone.now() - timedelta(hours=13 * number))


def _beside(project: Project) -> None:
    """A candidate in shadow, with a difference to judge."""
    deployment = Deployment.objects.get(project=project)
    job = JobFactory(
        project=project,
        key="ftjob-beside",
        dataset_version=deployment.live_model.job.dataset_version,
        base_model=deployment.base_model,
        state=JobState.SUCCEEDED,
    )
    candidate = TunedModelFactory(project=project, job=job)
    Deployment.objects.filter(pk=deployment.pk).update(
        candidate_model=candidate, stage=Stage.SHADOW, stage_since=timezone.now()
    )
    ShadowAnswer.objects.create(
        project=project,
        deployment=deployment,
        completion=Completion.objects.get(key="chatcmpl-stage"),
        tuned_model=candidate,
        state=CompletionState.DONE,
        response="No, it is **closed** on Sundays.",
    )
