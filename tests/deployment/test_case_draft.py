"""A model's draft of the right answer: asked for under a remark, marked, and never taken unread."""

import pytest
from django.urls import reverse

from deployment.models import Completion
from labeling.actions.case import claim_case, correct_case
from labeling.actions.errors import UneditedDraft
from labeling.actions.machine_draft import keep_machine_draft
from labeling.models import Case, Correction, MachineDraft
from tests.factories import CaseFactory

pytestmark = pytest.mark.django_db(transaction=True)
BASE = "smollm2-135m-instruct"
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def case(project, deployment) -> Case:
    return CaseFactory(project=project)


def url(case: Case) -> str:
    return reverse("deployment-case-draft", args=["kitchen", case.pk])


def draft(case: Case, by, text="By Ada Lovelace.") -> MachineDraft:
    return keep_machine_draft(case=case, model_name="m1", remark="Name her.", text=text, by=by)


def test_is_for_reviewers_of_the_project(case, sign_in, bob, rita, charlie, client) -> None:
    assert client.get(url(case)).status_code == 302
    assert sign_in(charlie).get(url(case)).status_code == 404
    assert sign_in(bob).post(url(case)).status_code == 403
    assert sign_in(rita).put(url(case)).status_code == 405
    assert sign_in(rita).post(url(case), {"target": "nobody"}).status_code == 422


def test_the_model_is_asked_with_the_conversation_and_the_remark(engine, case, sign_in, rita) -> None:
    client = sign_in(rita)
    piece = client.post(url(case), {"target": "assistant", "remark": "Name the author."}, **HTMX)
    row = MachineDraft.objects.get()
    assert (row.model_name, row.text, row.by, row.remark) == (BASE, f"{BASE} says hello", rita, "Name the author.")
    asked = Completion.objects.get()
    assert [turn["role"] for turn in asked.messages] == ["user", "assistant", "user"]
    assert asked.messages[1]["content"] == case.wrong_output
    assert asked.messages[2]["content"].endswith("Name the author.")
    assert asked.metadata == {"draft_for_case": str(case.pk)}
    page = piece.content.decode()
    assert "A machine&#x27;s draft" in page or "A machine's draft" in page
    assert "<html" not in page
    assert client.post(url(case), {"target": "assistant"})["Location"] == url(case)


def test_an_engine_that_is_away_says_so(case, sign_in, rita) -> None:
    response = sign_in(rita).post(url(case), {"target": "assistant", "remark": "kept remark"}, **HTMX)
    assert response.status_code == 422
    assert b"The engine does not answer" in response.content
    assert b"kept remark" in response.content
    assert not MachineDraft.objects.exists()


def test_a_draft_unedited_takes_a_confirmation(case, rita) -> None:
    machine = draft(case, rita)
    for named in (machine, None):  # pasted without its mark it is the machine's all the same
        with pytest.raises(UneditedDraft):
            correct_case(case=case, text="By  Ada Lovelace.", by=rita, machine_draft=named)
    row = correct_case(case=case, text="By Ada Lovelace.", by=rita, machine_draft=machine, is_confirmed=True)
    assert (row.drafted_by, row.is_draft_edited, row.machine_draft) == ("m1", False, machine)


def test_where_a_correction_came_from_is_kept(case, project, rita) -> None:
    machine = draft(case, rita)
    edited = correct_case(case=case, text="By Ada Lovelace, in 1843.", by=rita, machine_draft=machine)
    assert (edited.drafted_by, edited.is_draft_edited) == ("m1", True)
    other = CaseFactory(project=project)
    own = correct_case(case=other, text="By nobody I know.", by=rita, machine_draft=machine)
    assert (own.drafted_by, own.is_draft_edited, own.machine_draft) == ("", False, None)


def test_the_editor_takes_the_draft_and_asks_before_it_stands(case, sign_in, rita) -> None:
    machine = draft(case, rita)
    claim_case(case=case, by=rita)
    client = sign_in(rita)
    page = client.get(reverse("labeling-case-show", args=["kitchen", case.pk]), {"machine": machine.pk})
    assert page.context["form"]["text"].value() == "By Ada Lovelace."
    correct = reverse("labeling-case-correct", args=["kitchen", case.pk])
    data = {"text": "By Ada Lovelace.", "machine_draft": machine.pk, "seen": 0}
    refused = client.post(correct, data)
    assert refused.status_code == 422
    assert "word for word" in refused.content.decode()
    assert client.post(correct, data | {"is_confirmed": "on"}).status_code == 302
    assert Correction.objects.get().drafted_by == "m1"
    shown = client.get(reverse("labeling-case-show", args=["kitchen", case.pk])).content.decode()
    assert "word for word; a person confirmed it" in shown
