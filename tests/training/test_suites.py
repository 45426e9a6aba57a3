import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from common.models import Transition
from training.actions import runner
from training.actions.errors import FileRefused, NameTaken
from training.actions.evaluation import _keep_results, request_evaluation
from training.actions.suite import add_suite, remove_suite
from training.models import OwnSuite
from training.queries.report import own_rows, suite_shares

ADDRESS = "/p/kitchen/suites/"
CHECK = '{"kind": "contains", "value": "noon"}'
LINES = [
    f'{{"prompt": "When?", "ideal_response": "At noon.", "checks": [{CHECK}]}}',
    "",
    '{"messages": [{"role": "user", "content": "Who?"}], "ideal_response": "Ann.", "bad_response": "Bob."}',
]


def test_a_suite_is_asked_by_the_next_evaluation(project, base_model, alice) -> None:
    suite = add_suite(project=project, name="Opening hours", lines=LINES, by=alice)
    assert (suite.n_rows, Transition.objects.get(what="suite").after) == (2, "Opening hours (2)")
    evaluation = request_evaluation(project=project, base_model=base_model)
    asked = runner.read_lines(evaluation.run_dir / "own.jsonl")
    assert [row["messages"][0]["content"] for row in asked] == ["When?", "Who?"]
    assert (asked[0]["checks"], asked[1]["rejected"]) == ([{"kind": "contains", "value": "noon"}], "Bob.")
    common = {"suite": "own", "probe": None, "stopped": True}
    said = zip(asked, ("At noon.", "Bob."), (True, False), strict=True)
    lines = [{**common, "id": row["id"], "answer": text, "right": right} for row, text, right in said]
    runner.write_lines(evaluation.run_dir / "results.jsonl", lines)
    _keep_results(evaluation)
    remove_suite(suite=suite, by=alice)
    assert suite_shares(evaluation) == {"Opening hours": (1, 2)}
    assert [row["answer"] for row in own_rows(evaluation)] == ["At noon.", "Bob."]
    assert runner.read_lines(request_evaluation(project=project, base_model=base_model).run_dir / "own.jsonl") == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("[]", "Line 2: not a JSON object"),
        ('{"prompt": "Who?"}', "Line 2: needs an ideal_response or checks"),
        ('{"prompt": "", "ideal_response": "a"}', "Line 2: "),
        ('{"prompt": "Who?", "ideal_response": 3}', "Line 2: ideal_response is not a text"),
        (f'{{"prompt": "When?", "ideal_response": "At one.", "checks": [{CHECK}]}}', "fails check 1"),
        ('{"prompt": "When?", "checks": [{"kind": "guess"}]}', "Line 2: "),
    ],
)
def test_one_bad_line_refuses_the_whole_file(project, line, why) -> None:
    with pytest.raises(FileRefused, match=why):
        add_suite(project=project, name="a", lines=[LINES[0], line])
    assert not OwnSuite.objects.exists()


def test_a_name_is_used_once(project) -> None:
    add_suite(project=project, name="a", lines=LINES)
    with pytest.raises(NameTaken):
        add_suite(project=project, name="a", lines=LINES)


def test_the_page_adds_and_removes(sign_in, alice, rita, charlie, project) -> None:
    assert sign_in(charlie).get(ADDRESS).status_code == 404
    assert sign_in(rita).get(ADDRESS).status_code == 403
    client = sign_in(alice)
    file = SimpleUploadedFile("a.jsonl", "\n".join(LINES).encode("utf-8-sig"))
    assert client.post(ADDRESS, {"name": "Hours", "file": file}).status_code == 302
    assert b"Hours" in client.get(ADDRESS).content
    bad = client.post(ADDRESS, {"name": "Other", "text": "[]"}, HTTP_HX_REQUEST="true")
    assert (bad.status_code, b"Line 1: not a JSON object" in bad.content) == (422, True)
    remove = reverse("training-suite-remove", args=["kitchen", OwnSuite.objects.get().pk])
    assert client.get(remove).status_code == 405
    assert client.post(remove).status_code == 302
    assert not OwnSuite.objects.exists()
