"""Every address of the project, for everybody: strangers 404, the wrong role 403, anonymous people to the sign-in."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import URLPattern, get_resolver
from django.utils import timezone

import config.urls
from deployment.models import (
    Alert,
    Batch,
    Completion,
    Conversation,
    Cycle,
    Deployment,
    OutsideEngine,
    ServedModel,
    ShadowAnswer,
)
from deployment.states import AlertMeasure
from labeling.actions.api_key import create_key
from labeling.actions.people import invite
from labeling.actions.webhook import add_webhook, send_test
from labeling.models import (
    ApiKey,
    BulkAction,
    CaseReason,
    Draft,
    ExampleImport,
    GoldTask,
    Membership,
    Project,
    PromptImport,
    Report,
    Retraction,
    Review,
    SecondReview,
    Task,
    User,
)
from labeling.states import Role, SubmissionState, TaskState, Verdict
from tests.access import API, BODY, PAGES, WIRE, table
from tests.factories import (
    BaseModelFactory,
    CaseFactory,
    ComparisonFactory,
    DatasetVersionFactory,
    ExampleFactory,
    InstructionVersionFactory,
    JobFactory,
    MembershipFactory,
    ProjectFactory,
    SubmissionFactory,
    TaskFactory,
    TunedModelFactory,
    UserFactory,
)
from training.models import BenchmarkResult, Checkpoint, Evaluation, File, JobPreflight, OwnSuite, Preset

pytestmark = pytest.mark.any_database

CLOSED = (401, 403, 404, 500)
METHODS = ("get", "post")
RANK = {"contractor": 0, "reviewer": 1, "admin": 2}
SIGN_IN = "/accounts/login/"
BODY_TEXT = json.dumps(BODY)
ADMIN = ("admin:", "admin/")


def walk(patterns: list[Any], before: str = "", namespace: str = "") -> Iterator[tuple[str, URLPattern]]:
    for entry in patterns:
        place = before + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield (f"{namespace}{entry.name}" if entry.name else place), entry
        else:
            yield from walk(entry.url_patterns, place, namespace + (f"{entry.namespace}:" if entry.namespace else ""))


ROUTES = [name for name, _entry in walk(get_resolver().url_patterns)]
PLACES = {}


def places(patterns: list[Any], before: str = "") -> None:
    for entry in patterns:
        place = before + str(entry.pattern)
        if isinstance(entry, URLPattern):
            PLACES[entry.name or place] = place
        else:
            places(entry.url_patterns, place)


places(get_resolver().url_patterns)


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def rows_of(project: Project, bob: User, rita: User) -> dict[str, Any]:
    """Make one row of everything that an address can name; what a contractor may see is Bob's."""
    base_model = BaseModelFactory()
    ends = timezone.now() + timedelta(hours=1)
    lease = {"leased_by": bob, "lease_token": "6f6f0b3e-0c3c-4c57-9c57-1a6f8b1f0d11", "lease_expires_at": ends}
    task = TaskFactory(project=project, state=TaskState.LEASED, **lease)
    Draft.objects.create(task=task, user=bob, content={"messages": task.messages})
    case = CaseFactory(project=project, n_reports=1)
    Report.objects.create(case=case, reporter=bob)
    Draft.objects.create(case=case, user=rita, content={"text": "I do."})
    gold = GoldTask.objects.create(task=TaskFactory(project=project), reference="Two.")
    copy = TaskFactory(project=project, is_gold_copy=True, kind="write", state=TaskState.DONE, created_by=bob)
    gold.copies.create(task=copy, membership=Membership.objects.get(project=project, user=bob))
    seconds = []
    for verdict in (Verdict.ACCEPT, Verdict.REJECT):
        decided = SubmissionFactory(project=project, author=bob, state=SubmissionState.ACCEPTED)
        first = Review.objects.create(submission=decided, reviewer=UserFactory(), verdict=verdict)
        seconds.append(SecondReview.objects.create(submission=decided, first=first))
    SecondReview.objects.filter(pk=seconds[1].pk).update(is_accepted=True, reviewer=rita)
    conversation = Conversation.objects.create(project=project, user=bob, targets=["assistant"])
    name = project.slug
    completion = Completion.objects.create(
        project=project,
        key=f"chatcmpl-{name}",
        user=bob,
        conversation=conversation,
        messages=[{"role": "user", "content": "Who?"}],
        response="Me.",
        state="done",
        is_stored=True,
    )
    evaluation = Evaluation.objects.create(
        project=project, key=f"eval-{name}", base_model=base_model, suite_hash="0" * 64, state="succeeded"
    )
    file = File.objects.create(
        project=project, key=f"file-{name}", name="rows.jsonl", purpose="fine-tune", sha256="0" * 64, size_bytes=1
    )
    dataset = DatasetVersionFactory(project=project, number=10_007 if name == "kitchen" else 10_008)
    dataset.rows.create(position=0, split="train", kind="demonstration", row_hash="0", messages=completion.messages)
    hook, _secret = add_webhook(project=project, url="https://example.org/", events=["case.opened"], by=rita)
    return {
        "base_model": base_model.pk,
        "measure": "bad" if name == "kitchen" else "nobody",
        "base_slug": base_model.slug if name == "kitchen" else "nobody",
        "benchmark": BenchmarkResult.objects.create(
            project=project,
            model_name="m",
            tool="inspect",
            task="a",
            metric="accuracy",
            value=0.5,
            ran_at=timezone.now(),
        ).pk,
        "suite": OwnSuite.objects.create(project=project, name="a", rows=[], n_rows=0).pk,
        "bulk": BulkAction.objects.create(project=project, kind="cases", what="severity", by=rita).pk,
        "bulk_kind": "cases" if name == "kitchen" else "another",
        "example_import": ExampleImport.objects.create(
            project=project, name="a.jsonl", file_key=uuid4(), size_bytes=1
        ).pk,
        "import": PromptImport.objects.create(project=project, name="a.csv", file_key=uuid4(), size_bytes=1).pk,
        "webhook": hook.pk,
        "delivery": send_test(webhook=hook).pk,
        "member": Membership.objects.get(project=project, user=bob).pk,
        "invitation": invite(project=project, role=Role.CONTRACTOR, by=rita)[0].pk,
        "version": InstructionVersionFactory(project=project, number=1 if name == "kitchen" else 2).number,
        "task": task.pk,
        "gold": gold.pk,
        "gold_answer": SubmissionFactory(project=project, author=bob, task=copy, is_gold=True).pk,
        "submission": SubmissionFactory(project=project, author=bob).pk,
        "case": case.pk,
        "reason": CaseReason.objects.create(project=project, key=f"rude-{name}", label="Rude").key,
        "example": ExampleFactory(project=project).pk,
        "comparison": ComparisonFactory(project=project).pk,
        "retraction": Retraction.objects.create(project=project, reason="Asked for.").pk,
        "second": seconds[0].pk,
        "disagreement": seconds[1].pk,
        "dataset": dataset.number,
        "job": JobFactory(project=project, key=f"ftjob-{name}", training_file=file).key,
        "preflight": JobPreflight.objects.create(
            job=JobFactory(project=project, key=f"ftjob-new-{name}"), waits_for_start=True, finished_at=timezone.now()
        ).job.key,
        "checkpoint": Checkpoint.objects.create(
            job=JobFactory(project=project, key=f"ftjob-kept-{name}"), step=5, created_at=timezone.now()
        ).job.key,
        "preset": Preset.objects.create(project=project, name="Bold").pk,
        "evaluation": evaluation.key,
        "model": (model := TunedModelFactory(project=project)).name,
        "model_pk": model.pk,
        "conversation": conversation.pk,
        "completion": completion.key,
        "key": create_key(project=project, name="a program")[0].pk,
        "engine": (engine := OutsideEngine.objects.create(project=project, name="GPU", url="https://a.org/v1")).pk,
        "served": ServedModel.objects.create(project=project, engine=engine, tuned_model=model, served_name="a").pk,
        "alert": Alert.objects.create(
            project=project,
            measure=AlertMeasure.BAD,
            threshold=10,
            n=20,
            n_bad=9,
            began_at=timezone.now(),
            seen_at=timezone.now(),
        ).pk,
        "shadow": ShadowAnswer.objects.create(
            project=project,
            deployment=Deployment.objects.create(project=project, name="formerly", base_model=model.base_model),
            completion=completion,
            tuned_model=model,
        ).pk,
        "cycle": Cycle.objects.create(project=project, number=3 if name == "kitchen" else 4, state="stopped").number,
        "legacy": JobFactory(project=project, key=f"ft-{name}", training_file=file, is_legacy=True).key,
        "file": file.key,
        "batch": Batch.objects.create(
            project=project, key=f"batch_{name}", input_file=file, expires_at=timezone.now() + timedelta(days=1)
        ).key,
    }


@pytest.fixture
def rows(project, alice, bob, rita) -> dict[str, Any]:
    return rows_of(project, bob, rita)


@pytest.fixture
def foreign(charlie, bob, rita) -> dict[str, Any]:
    """The same of another project, in which Bob and Rita work as well."""
    elsewhere = ProjectFactory(slug="garage")
    MembershipFactory(project=elsewhere, user=charlie, role=Role.ADMIN)
    MembershipFactory(project=elsewhere, user=bob)
    MembershipFactory(project=elsewhere, user=rita, role=Role.REVIEWER)
    return rows_of(elsewhere, bob, rita)


def address(name: str, key: Any = None) -> str:
    """Fill the route's place: the slug, and its other part with `key`."""
    place = PLACES[name]
    for mark in ("^", "$", "(?P<key>[-:\\w]+)", "(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)"):
        place = place.replace(mark, {"^": "", "$": ""}.get(mark, "x-1"))
    parts = (
        place.replace("<slug:slug>", "kitchen")
        .replace("<str:token>", "x")
        .replace("<int:position>", "0")
        .replace("<int:step>", "5")
    )
    head, mark, rest = parts.partition("<")
    return "/" + (head + str(key) + rest.partition(">")[2] if mark else head)


def answers(client: Client, url: str, data: dict[str, str], methods: tuple[str, ...] = METHODS) -> dict[str, Any]:
    """Return what the address answers to each method that it takes."""
    found = {}
    for method in methods:
        with undone():
            response = getattr(client, method)(url, data if method == "post" else None)
        if response.status_code != 405:
            found[method] = response
    assert found, url
    return found


def client_of(user: User | None) -> Client:
    client = Client(raise_request_exception=True)
    if user is not None:
        client.force_login(user)
    return client


def test_every_route_is_in_the_table() -> None:
    open_to_all = {"v1/openapi.json"}
    known = {*table(PAGES), *table(WIRE), *table(API), "api-schema", "api-unknown", *open_to_all}
    assert [name for name in ROUTES if not name.startswith(ADMIN) and name not in known] == []
    assert sorted(known - set(ROUTES)) == []


@pytest.fixture
def pia(project) -> User:
    """A paused reviewer."""
    person = MembershipFactory(project=project, user=UserFactory(name="Pia"), role=Role.REVIEWER, is_active=False)
    Membership.objects.filter(pk=person.pk).update(paused_at=timezone.now(), pause_reason="Holidays")
    return person.user


@pytest.fixture(autouse=True)
def _plain_refusals(settings, monkeypatch) -> None:
    """Nobody answers as the engine; refusals are not made into pages, which would take most of the time."""
    settings.ENGINE_URL = "http://127.0.0.1:9"
    for status in (403, 404):
        plain = partial(_refuse, status)
        monkeypatch.setattr(config.urls, f"handler{status}", plain, raising=False)


def _refuse(status: int, _request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse(status=status)


def test_pages_know_strangers_roles_and_pauses(rows, foreign, alice, rita, bob, charlie, pia) -> None:
    anonymous, stranger, paused = client_of(None), client_of(charlie), client_of(pia)
    roles = {"contractor": client_of(bob), "reviewer": client_of(rita), "admin": client_of(alice)}
    wrong = []

    data = {"version": "1", "model": rows["model"]}
    methods: tuple[str, ...] = METHODS

    def expect(who: str, client: Client, url: str, *statuses: int) -> None:
        for method, response in answers(client, url, data, methods).items():
            got = response.status_code
            is_sign_in = got == 302 and response["Location"].startswith(SIGN_IN)
            is_right = got in statuses and (got != 302 or is_sign_in) if statuses else _is_served(got, is_sign_in)
            if not is_right:
                wrong.append((who, method, url, got, statuses))

    for name, (least, *more) in table(PAGES).items():
        is_open_to_paused, kinds = "paused" in more, [word for word in more if word != "paused"]
        url = address(name, rows[kinds[0]] if kinds else None)
        found = answers(anonymous, url, data)
        methods = tuple(found)
        is_open = least == "open" or name == "account_logout"
        for method, response in found.items():
            is_sign_in = response.status_code == 302 and response["Location"].startswith(SIGN_IN)
            if not (is_sign_in or (is_open and response.status_code < 500 and response.status_code != 403)):
                wrong.append(("anonymous", method, url, response.status_code))
        if least in ("open", "own"):
            continue
        expect("stranger", stranger, url, 404)
        expect("paused", paused, url, *(() if is_open_to_paused else (403,)))
        for role, client in roles.items():
            if RANK[role] < RANK[least]:
                expect(role, client, url, 403)
        expect(least, roles[least], url)
        if kinds:
            for role in {least, "admin"}:
                expect("other project's row", roles[role], address(name, foreign[kinds[0]]), 404)
    assert not wrong, "\n".join(map(str, wrong))


def _is_served(status: int, is_sign_in: bool) -> bool:
    return status in (200, 201, 204, 286, 302, 400, 409, 422) and not is_sign_in


def test_the_superusers_pages_are_closed_to_admins_of_projects(alice) -> None:
    client = client_of(alice)
    for name in ROUTES:
        if name.startswith("admin:") and name not in ("admin:login", "admin:logout", "admin:jsi18n"):
            url = "/" + PLACES[name.removeprefix("admin:")].split("<")[0].removesuffix("(?P").removeprefix("/")
            response = client.get(url, follow=False)
            assert response.status_code in (301, 302, 404), url


def key(project: Project, user: User | None, **more: Any) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {create_key(project=project, user=user, name='x', **more)[1]}"}


def test_the_interface_knows_keys_scopes_roles_and_projects(
    rows, foreign, project, alice, rita, bob, charlie, pia
) -> None:
    wrong = []
    roles = {"contractor": key(project, bob), "reviewer": key(project, rita), "admin": key(project, alice)}
    roles["own"] = roles["contractor"]
    stranger = key(ProjectFactory(), UserFactory(is_superuser=True))
    closed = {"anonymous": {}, "paused": key(project, pia), "nobody's": key(project, None)}
    bare = key(project, alice, scopes=["files"])
    client = Client()
    body = json.dumps(BODY | {"into": rows["case"]})

    def expect(who: str, method: str, url: str, headers: dict[str, str], *statuses: int) -> None:
        with undone():
            got = client.generic(method, url, body, content_type="application/json", **headers).status_code
        if got not in (statuses or (200, 201, 204, 409, 422)):
            wrong.append((who, method, url, got, statuses))

    for name, words in table(API).items():
        kinds = [word for word in words if ":" not in word]
        url = address(name, rows[kinds[0]] if kinds else None)
        for method, least in (word.split(":") for word in words if ":" in word):
            for who, headers in closed.items():
                expect(who, method, url, headers, 401)
            expect("without the scope", method, url, bare, 403)
            expect(least, method, url, roles[least])
            if least == "own":
                continue
            expect("another project's key", method, url, stranger, 404)
            for role in RANK:
                if RANK[role] < RANK[least]:
                    expect(role, method, url, roles[role], 403)
            if kinds:
                theirs = address(name, foreign[kinds[0]])
                expect("other project's row", method, theirs, roles[least], 404)
                expect("other project's row", method, theirs, roles["admin"], 404)
    assert not wrong, "\n".join(map(str, wrong))


def test_a_browser_session_opens_the_interface_with_its_token_only(project, alice) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert client.get("/api/v1/p/kitchen/tasks/").json() == {"items": [], "next": None}
    refused = client.post("/api/v1/p/kitchen/tasks/next/", BODY_TEXT, content_type="application/json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")
    assert client.get("/api/v1/p/garage/tasks/").status_code == 404


def test_the_wire_interface_knows_keys_scopes_and_projects(rows, foreign, project, alice, pia) -> None:
    wrong = []

    def bearer(user: User | None, **more: Any) -> dict[str, str]:
        return {"HTTP_AUTHORIZATION": f"Bearer {create_key(project=project, user=user, name='x', **more)[1]}"}

    bare, whole, paused = bearer(alice, scopes=[]), bearer(alice), bearer(pia)
    revoked = bearer(alice)
    ApiKey.objects.filter(pk=ApiKey.objects.latest("pk").pk).update(revoked_at=timezone.now())
    client = Client()

    def ask(url: str, headers: dict[str, str]) -> dict[str, int]:
        found = {}
        for method in ("GET", "POST", "DELETE"):
            with undone():
                response = client.generic(method, url, b"{}", content_type="application/json", **headers)
            if response.status_code != 405:
                found[method] = response.status_code
        return found

    for place, words in table(WIRE).items():
        kinds = [word for word in words if word != "any"]
        url = address(place, rows[kinds[0]] if kinds else "smollm2-135m-instruct")
        for who, headers in (("anonymous", {}), ("paused", paused), ("revoked", revoked)):
            wrong += [(who, method, url, got) for method, got in ask(url, headers).items() if got != 401]
        for method, got in ask(url, bare).items():
            if got != 403 and not ("any" in words and method == "GET" and got == 200):
                wrong.append(("without scope", method, url, got))
        if kinds:
            theirs = address(place, foreign[kinds[0]])
            wrong += [("other project's row", *pair, theirs) for pair in ask(theirs, whole).items() if pair[1] != 404]
            if place.endswith("/content"):  # its bytes would have to be there
                continue
            wrong += [("own row", *pair, url) for pair in ask(url, whole).items() if pair[1] in CLOSED]
    assert not wrong, "\n".join(map(str, wrong))
    assert Task.objects.filter(project=project).exists()
