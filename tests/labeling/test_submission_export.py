import csv
import io
import json

import pytest
from asgiref.sync import async_to_sync

from labeling.actions import export
from labeling.actions.export import export_submissions
from tests.factories import SubmissionFactory, TaskFactory

URL = "/p/kitchen/submissions/export/"


def body(response) -> str:
    async def read() -> bytes:
        return b"".join([part async for part in response])

    return async_to_sync(read)().decode()


@pytest.mark.parametrize("chunk", [1, 2, 2000])
def test_every_submission_is_in_it_once_whatever_the_chunks(project, bob, monkeypatch, chunk) -> None:
    monkeypatch.setattr(export, "CHUNK", chunk)
    submissions = SubmissionFactory.create_batch(4, project=project, author=bob)
    SubmissionFactory()  # elsewhere
    lines = "".join(export_submissions(project=project, kind="jsonl")).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [submission.pk for submission in submissions]
    assert json.loads(lines[0])["messages"] == submissions[0].messages
    table = list(csv.DictReader(io.StringIO("".join(export_submissions(project=project, kind="csv")))))
    assert [row["id"] for row in table] == [str(submission.pk) for submission in submissions]
    assert json.loads(table[3]["messages"]) == submissions[3].messages


def test_a_spreadsheet_computes_nothing_that_somebody_wrote(project) -> None:
    task = TaskFactory(project=project, messages=[{"role": "user", "content": "=1+1, 多少？\nSay."}])
    SubmissionFactory(project=project, task=task, messages=[*task.messages, {"role": "assistant", "content": "@x"}])
    (row,) = csv.DictReader(io.StringIO("".join(export_submissions(project=project, kind="csv"))))
    assert (row["prompt"], row["response"]) == ("'=1+1, 多少？\nSay.", "'@x")


@pytest.mark.django_db(transaction=True)  # the download is read in a thread of its own
def test_reviewers_and_admins_download(sign_in, project, rita, alice) -> None:
    submission = SubmissionFactory(project=project)
    for person in (rita, alice):
        response = sign_in(person).get(URL, {"format": "jsonl"})
        assert 'filename="kitchen-submissions-' in response.headers["Content-Disposition"]
        assert response.headers["Content-Disposition"].endswith('.jsonl"')
    assert json.loads(body(response))["id"] == submission.pk
    assert sign_in(rita).get(URL, {"format": "nonsense"}).headers["Content-Type"].startswith("text/csv")


def test_others_do_not(sign_in, bob, charlie) -> None:
    assert sign_in(bob).get(URL).status_code == 403
    assert sign_in(charlie).get(URL).status_code == 404
    assert sign_in(bob).post(URL).status_code == 405
