"""Dataset versions over /api/v1."""

import pytest

from labeling.actions.case import correct_case
from labeling.actions.retraction import retract_example
from tests.factories import CaseFactory
from tests.training.conftest import make_demonstration
from training.actions.dataset import freeze_dataset

API = "/api/v1/p/kitchen/datasets/"


@pytest.fixture
def versions(project, bob, rita):
    case = CaseFactory(project=project)
    correction = correct_case(case=case, text="The baker.", by=bob)
    make_demonstration(project, "How long does dough rest?", "An hour.")
    first = freeze_dataset(project=project, note="The first.")
    retract_example(example=correction.example, by=None, reason="Wrong.")
    make_demonstration(project, "面团？", "一个小时。")
    return first, freeze_dataset(project=project)


def test_versions_with_their_marks_and_figures(sign_in, alice, versions) -> None:
    client = sign_in(alice)
    listed = client.get(API).json()["items"]
    assert [(row["number"], row["n_rows"], row["n_retracted"]) for row in listed] == [(2, 2, 0), (1, 2, 1)]
    shown = client.get(f"{API}1/").json()
    assert (shown["note"], shown["statistics"], shown["content_hash"]) == ("The first.", None, versions[0].content_hash)
    changed = client.post(f"{API}1/note/", {"note": "Better."}, content_type="application/json")
    assert changed.json()["note"] == "Better."
    assert client.get(f"{API}9/").status_code == 404


def test_rows_are_listed_in_pages_and_found(sign_in, alice, versions) -> None:
    client = sign_in(alice)
    first = client.get(f"{API}1/rows/", {"limit": 1}).json()
    second = client.get(f"{API}1/rows/", {"limit": 1, "after": first["next"]}).json()
    assert [row["position"] for row in (*first["items"], *second["items"])] == [0, 1]
    assert second["next"] is None
    found = client.get(f"{API}1/rows/", {"q": "dough"}).json()["items"]
    assert [row["messages"][-1]["content"] for row in found] == ["An hour."]
    gone = client.get(f"{API}1/rows/", {"is_retracted": True}).json()["items"]
    assert [row["kind"] for row in gone] == ["correction"]
    assert client.get(f"{API}1/rows/", {"limit": 0}).status_code == 422


def test_a_row_tells_where_it_comes_from(sign_in, alice, bob, versions) -> None:
    row = versions[0].rows.get(kind="correction")
    found = sign_in(alice).get(f"{API}1/rows/{row.position}/").json()
    case = row.example.correction.case
    assert found["origin"] == {
        "author": {"id": bob.pk, "name": "Bob"},
        "reviewer": {"id": bob.pk, "name": "Bob"},
        "instructions": None,
        "submission": None,
        "correction": row.example.correction_id,
        "case": case.pk,
        "completion": "",
        "said_by": case.model_name,
    }
    assert (found["versions"], found["rejected"]) == ([1], "Nobody knows.")


def test_two_versions_are_compared(sign_in, alice, bob, versions) -> None:
    client = sign_in(alice)
    found = client.get(f"{API}2/diff/", {"with": 1, "show": "removed"}).json()
    assert found["counts"] == {"added": 1, "removed": 1, "changed": 0}
    (change,) = found["changes"]
    assert (change["new"], change["old"]["kind"], found["next"]) == (None, "correction", None)
    assert change["turns"][-1]["pieces"] == [{"kind": "same", "text": "The baker."}]
    assert {"kind": "correction", "added": 0, "removed": 1, "changed": 0} in found["by_source"]
    assert {"person": {"id": bob.pk, "name": "Bob"}, "added": 0, "removed": 1, "changed": 0} in found["by_person"]
    assert client.get(f"{API}2/diff/").json()["counts"] == found["counts"]
    assert client.get(f"{API}1/diff/").status_code == 422
    assert client.get(f"{API}2/diff/", {"with": 9}).status_code == 404
