"""What programs do at /api/v1: the same actions as the pages, on rows that the document's tests do not make."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from labeling.actions.api_key import create_key
from labeling.actions.bulk import work_on as work_on_bulk
from labeling.actions.gold import gold_task_for
from labeling.actions.prompt_import_run import work_on as work_on_import
from labeling.actions.submission import submit
from labeling.models import Case, Membership, Task
from labeling.states import SubmissionState, TaskState
from tests.factories import CaseFactory, ExampleFactory, SubmissionFactory, TaskFactory

ROOT = "/api/v1/p/kitchen/"


@pytest.fixture
def ask(client, project, alice, bob, rita):
    """Ask as somebody; returns the body of the answer, and checks its status."""
    users = {"alice": alice, "bob": bob, "rita": rita}
    keys: dict[str, str] = {}

    def send(who: str, method: str, place: str, body: Any = None, *, status: int = 200, **more: Any) -> Any:
        if who not in keys:
            keys[who] = create_key(project=project, user=users[who], name=who)[1]
        data = {"data": json.dumps(body), "content_type": "application/json"} if body is not None else more
        answer = getattr(client, method)(f"{ROOT}{place}", HTTP_AUTHORIZATION=f"Bearer {keys[who]}", **data)
        assert answer.status_code == status, answer.content
        return answer.json() if answer.content else None

    return send


def test_many_rows_at_once_and_back(ask, project, monkeypatch) -> None:
    harmful, minor = CaseFactory(project=project, severity=3), CaseFactory(project=project, severity=1)
    TaskFactory.create_batch(3, project=project)
    ask("rita", "post", "bulk/", {"rows": "tasks", "what": "retire", "matching": {}}, status=403)
    ask("rita", "post", "bulk/", {"rows": "cases", "what": "retire", "matching": {}}, status=409)
    ask("rita", "post", "bulk/", {"rows": "cases", "what": "dismiss"}, status=422)
    made = ask("rita", "post", "bulk/", {"rows": "cases", "what": "dismiss", "ids": [minor.pk]}, status=201)
    assert (made["state"], made["n_done"]) == ("done", 1)
    assert list(Case.objects.filter(state="open")) == [harmful]

    monkeypatch.setattr("labeling.actions.bulk.LIMIT", 2)
    asked = {"rows": "tasks", "what": "tag", "value": "star", "matching": {"q": "plus", "state": "open"}}
    made = ask("alice", "post", "bulk/", asked, status=201)
    assert (made["state"], made["n_rows"], made["percent"]) == ("running", 3, 0)
    work_on_bulk(bulk_pk=made["id"])
    place = f"bulk/{made['id']}/"
    assert ask("alice", "get", place)["n_done"] == 3
    ask("rita", "get", place, status=403)
    assert ask("alice", "get", "tasks/?tag=star&limit=1")["items"][0]["tags"] == ["star"]
    (tag,) = ask("rita", "get", "tags/")["items"]
    assert (tag["name"], tag["n_tasks"], tag["n_examples"]) == ("star", 3, 0)
    ask("alice", "post", f"{place}stop/", {}, status=409)
    assert ask("alice", "post", f"{place}undo/", {})["state"] == "undoing"
    work_on_bulk(bulk_pk=made["id"])
    assert not Task.objects.filter(tags__name="star").exists()


def test_a_file_of_prompts_goes_in_and_out_again(ask, project, settings, tmp_path) -> None:
    settings.VAR_DIR = tmp_path
    file = SimpleUploadedFile("prompts.jsonl", b'{"prompt": "Who?"}\n{"prompt": "Why?"}\nnonsense\n')
    ask("rita", "post", "imports/", data={"file": file}, status=403)
    ask("alice", "post", "imports/", data={"tags": "a"}, status=422)
    file.seek(0)
    row = ask("alice", "post", "imports/", data={"file": file, "tags": ["new", "good"]}, status=201)
    assert (row["state"], row["tags"]) == ("uploaded", ["new", "good"])
    place = f"imports/{row['id']}/"
    ask("alice", "post", f"{place}start/", {}, status=409)
    work_on_import(import_pk=row["id"])
    row = ask("alice", "get", place)
    assert (row["state"], row["n_rows"], row["n_bad"], row["bad_lines"][0][0]) == ("ready", 3, 1, 3)
    assert [each["messages"][0]["content"] for each in row["preview"]] == ["Who?", "Why?"]
    ask("alice", "post", f"{place}start/", {})
    work_on_import(import_pk=row["id"])
    assert Task.objects.filter(tags__name="new").count() == 2
    assert ask("alice", "post", f"{place}undo/", {})["state"] == "undoing"
    work_on_import(import_pk=row["id"])
    assert ask("alice", "get", "imports/")["items"][0]["state"] == "undone"
    assert not Task.objects.exists()


def test_a_tag_goes_on_and_off(ask, project) -> None:
    task, example = TaskFactory(project=project), ExampleFactory(project=project)
    for place in (f"tasks/{task.pk}/", f"examples/{example.pk}/"):
        assert ask("alice", "post", f"{place}tag/", {"name": " to  check "})["tags"] == ["to check"]
        ask("alice", "post", f"{place}tag/", {"name": "to check"}, status=409)
        assert ask("alice", "post", f"{place}untag/", {"name": "to check"})["tags"] == []
        ask("alice", "post", f"{place}untag/", {"name": "to check"}, status=409)
        ask("rita", "post", f"{place}tag/", {"name": "x"}, status=403)


def test_a_newcomer_qualifies(ask, project, bob) -> None:
    task = TaskFactory(project=project)
    ask("alice", "put", f"tasks/{task.pk}/gold/", {}, status=422)
    marked = {"reference": "Two is right.", "checks": [{"kind": "contains", "value": "right"}]}
    assert ask("alice", "put", f"tasks/{task.pk}/gold/", marked, status=200)["checks"][0]["kind"] == "contains"
    rules = ask("alice", "get", "qualification/")
    assert ask("alice", "put", "qualification/", {**rules, "n_qualification": 1})["n_qualification"] == 1
    ask("alice", "put", "qualification/", {**rules, "n_qualification": 9}, status=409)
    member = Membership.objects.get(project=project, user=bob)
    ask("alice", "post", f"people/{member.pk}/qualification/", {"qualification": "in_progress"})

    member = Membership.objects.select_related("project", "user").get(pk=member.pk)
    copy = gold_task_for(membership=member)
    assert copy is not None
    text = [*copy.messages, {"role": "assistant", "content": "It is two."}]
    submit(task=copy, membership=member, messages=text, idempotency_key="6f6f0b3e-0c3c-4c57-9c57-1a6f8b1f0d11")
    found = ask("rita", "post", "grades/next/", {})["submission"]
    assert found["checks"] == [{"kind": "contains", "value": "right", "is_passed": False}]
    assert "author" not in found
    low = dict.fromkeys(("helpful", "truthful", "harmless", "follows"), 2)
    ask("rita", "post", f"grades/{found['id']}/", low, status=422)  # below the threshold it needs a comment
    ask("bob", "post", f"grades/{found['id']}/", low, status=403)
    ask("rita", "post", f"grades/{found['id']}/", {**low, "comment": "It is not."}, status=201)
    ask("rita", "post", f"grades/{found['id']}/", {**low, "comment": "It is not."}, status=409)
    standing = ask("bob", "get", "standing/")
    assert (standing["qualification"], standing["mean"], standing["may_retry"]) == ("failed", 2, True)
    assert standing["results"][0]["grades"][0]["comment"] == "It is not."
    ask("bob", "post", "standing/retry/", {}, status=204)
    (row,) = ask("alice", "get", "gold/")["items"]
    assert (row["n_copies"], row["n_graded"], row["score"]) == (1, 1, 2)


def test_a_second_review_disagrees_and_is_settled(ask, project, bob, alice, rita) -> None:
    project.second_review_share = 100
    project.save()
    submission = SubmissionFactory(project=project, author=bob)
    ask("rita", "post", f"submissions/{submission.pk}/review/", {"verdict": "accept"}, status=201)
    assert ask("rita", "post", "second-reviews/next/", {})["second_review"] is None  # one's own first verdict
    found = ask("alice", "post", "second-reviews/next/", {})["second_review"]
    assert found["messages"] == submission.messages
    place = f"second-reviews/{found['id']}/judge/"
    ask("rita", "post", place, {"is_accepted": False}, status=404)
    ask("alice", "post", place, {"is_accepted": False}, status=422)
    ask("alice", "post", place, {"is_accepted": False, "reason": "Wrong."}, status=204)
    (row,) = ask("alice", "get", "disagreements/")["items"]
    assert (row["first_verdict"], row["first_reviewer"]["id"], row["reason"]) == ("accept", rita.pk, "Wrong.")
    place = f"disagreements/{row['id']}/settle/"
    assert ask("alice", "post", place, {"settlement": "reopened", "reason": "Look again."})["settlement"] == "reopened"
    ask("alice", "post", place, {"settlement": "kept"}, status=409)
    submission.refresh_from_db()
    assert submission.state == SubmissionState.REVISED


def test_rates_languages_and_invitations(ask, project, bob) -> None:
    place = f"people/{Membership.objects.get(project=project, user=bob).pk}/"
    rate = {"amount": "12.5", "unit": "hour"}
    assert ask("alice", "post", f"{place}rates/", rate, status=201)["amount"] == "12.5000"
    ask("alice", "post", f"{place}rates/", {**rate, "valid_from": "2020-01-01"}, status=409)
    assert len(ask("alice", "get", f"{place}rates/")["items"]) == 1
    assert ask("alice", "put", f"{place}languages/", {"languages": ["en", "pt-BR"]})["languages"] == ["en", "pt-BR"]
    ask("alice", "put", f"{place}languages/", {"languages": ["English"]}, status=422)
    made = ask("alice", "post", "invitations/", {"role": "reviewer"}, status=201)
    (row,) = ask("alice", "get", "invitations/")["items"]
    assert (row["id"], row["role"]) == (made["id"], "reviewer")
    ask("alice", "post", f"invitations/{made['id']}/revoke/", {}, status=204)
    assert ask("alice", "get", "invitations/")["items"] == []


def test_comparisons_are_added_judged_and_taken_out(ask, project) -> None:
    pair = {"messages": [{"role": "user", "content": "Who?"}], "answer_a": "Me.", "answer_b": "You."}
    same = {**pair, "answer_b": "Me."}
    added = ask("alice", "post", "comparisons/", {"comparisons": [pair, same, pair]}, status=201)
    assert (added["n_added"], added["n_there"], added["bad"][0][0]) == (1, 1, 2)
    ask("rita", "get", "comparisons/", status=403)
    found = ask("bob", "post", "comparisons/next/", {})["comparison"]
    ask("bob", "post", f"comparisons/{found['id']}/vote/", {"choice": "first_clearly", "reason": "Right."}, status=204)
    (row,) = ask("alice", "get", "comparisons/?state=decided")["items"]
    assert (row["n_votes"], row["outcome"]) == (1, "a" if found["answers"][0] == "Me." else "b")
    row = ask("alice", "get", f"comparisons/{found['id']}/")
    assert row["votes"][0]["reason"] == "Right."
    ask("alice", "post", f"comparisons/{found['id']}/restore/", {}, status=409)
    assert ask("alice", "post", f"comparisons/{found['id']}/retire/", {"reason": "Old."})["state"] == "retired"


def test_settings_reasons_and_webhooks(ask, project) -> None:
    assert ask("alice", "patch", "settings/", {"currency": "CNY"})["currency"] == "CNY"
    ask("alice", "patch", "settings/", {"currency": "yuan"}, status=422)
    assert len(ask("bob", "get", "reasons/")["items"]) == 7
    made = ask("alice", "post", "reasons/", {"label": "Impolite", "severity": 2}, status=201)
    changed = {"label": "Rude", "severity": 3, "is_active": False}
    assert ask("alice", "put", f"reasons/{made['key']}/", changed)["label"] == "Rude"
    ask("alice", "put", "reasons/nothing/", changed, status=404)

    hook = {"url": "https://example.org/hook", "events": ["case.opened"]}
    made = ask("alice", "post", "webhooks/", hook, status=201)
    place = f"webhooks/{made['webhook']['id']}/"
    assert made["secret"].startswith("whsec_")
    assert "secret" not in json.dumps(ask("alice", "get", place))
    ask("alice", "post", "webhooks/", {**hook, "url": "https://a:b@example.org/"}, status=422)
    sent = ask("alice", "post", f"{place}test/", {}, status=201)
    assert [row["id"] for row in ask("alice", "get", f"{place}deliveries/")["items"]] == [sent["id"]]
    assert ask("alice", "post", f"deliveries/{sent['id']}/again/", {})["state"] == "pending"
    ask("alice", "delete", place, status=204)
    ask("alice", "get", place, status=404)


def test_what_was_set_aside_and_what_is_near(ask, project, bob) -> None:
    task = TaskFactory(project=project, state=TaskState.ASIDE)
    task.skips.create(user=bob, reason="unclear", comment="Which one?")
    (row,) = ask("alice", "get", "tasks/aside/")["items"]
    assert (row["id"], row["skips"][0]["comment"]) == (task.pk, "Which one?")
    case, twin = (CaseFactory(project=project, wrong_output=text) for text in ("I.", "You."))
    Case.objects.filter(pk=twin.pk).update(messages=case.messages, prompt_hash=case.prompt_hash)
    (near,) = ask("rita", "get", f"cases/{case.pk}/near/")["items"]
    assert (near["case"]["id"], near["alike"], near["may_go"]) == (twin.pk, 100, True)
    content = {"text": "He.", "checks": [{"kind": "json"}], "revision": 0}
    assert ask("rita", "put", f"cases/{case.pk}/draft/", content)["revision"] == 1
    stale = ask("rita", "put", f"cases/{case.pk}/draft/", {**content, "text": "She."}, status=409)
    assert stale["error"]["fields"]["theirs"]["content"]["text"] == "He."
    assert ask("rita", "get", f"cases/{case.pk}/draft/")["content"]["text"] == "He."
