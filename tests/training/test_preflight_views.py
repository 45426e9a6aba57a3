import pytest
from django.urls import reverse
from django.utils import timezone

from tests.factories import JobFactory
from tests.preflight_sample import ESTIMATE, REPORT
from training.models import Job, JobPreflight
from training.states import JobState

HTMX = {"HTTP_HX_REQUEST": "true"}


def url(name: str, job: Job) -> str:
    return reverse(f"training-job-{name}", args=["kitchen", job.key])


@pytest.fixture
def preflight(project) -> JobPreflight:
    return JobPreflight.objects.create(job=JobFactory(project=project), waits_for_start=True)


def finish(preflight: JobPreflight, **fields) -> None:
    values = {"report": REPORT, "estimate": ESTIMATE, "finished_at": timezone.now(), **fields}
    JobPreflight.objects.filter(pk=preflight.pk).update(**values)


def test_the_page_polls_until_the_rows_were_looked_at(sign_in, preflight, alice) -> None:
    client = sign_in(alice)
    page = client.get(url("preflight", preflight.job)).content.decode()
    assert 'hx-trigger="every 1s"' in page
    assert "Nothing has started." in page
    assert client.get(url("preflight", preflight.job), **HTMX).status_code == 200
    finish(preflight)
    piece = client.get(url("preflight", preflight.job), **HTMX)
    assert piece.status_code == 286
    assert "<html" not in piece.content.decode()
    assert "hx-get" not in piece.content.decode()


def test_it_shows_what_will_be_trained(sign_in, preflight, alice) -> None:
    finish(preflight)
    text = sign_in(alice).get(url("preflight", preflight.job)).content.decode()
    for shown in (
        "17,808",
        "2 min 0 s",
        "1 min 30 s to 2 min 40 s",
        "3 former runs with this base model",
        "small, so that few corrections make a few dozen steps all the same",
        "set for this job",
        "1 row is longer than 16 tokens",
        "1 rows teach nothing",
        "4 of 11 tokens are learnt",
        "Start the job",
    ):
        assert shown in text


def test_learnt_tokens_are_marked_and_nothing_else_is(sign_in, preflight, alice) -> None:
    finish(preflight)
    text = sign_in(alice).get(url("preflight", preflight.job)).content.decode()
    learnt = text.partition('<mark class="learnt">')[2].partition("</mark>")[0]
    assert text.count('<mark class="learnt">') == 1
    assert learnt.startswith('<span class="token">Blue</span>')
    assert '<span class="token__space" data-sign="·"> </span>sky' in learnt
    assert 'token--special" title="control token">&lt;|im_end|&gt;</span>' in learnt
    assert 'token--bytes" title="part of a character">ä½</span>' in learnt
    assert '<span class="token" data-n="2" title="2 tokens">太</span>' in text
    assert "sun" not in learnt


def test_start_queues_the_job_once(sign_in, preflight, alice) -> None:
    client = sign_in(alice)
    response = client.post(url("start", preflight.job))
    assert response["Location"] == url("preflight", preflight.job)
    finish(preflight)
    assert client.post(url("start", preflight.job))["Location"] == url("show", preflight.job)
    preflight.job.refresh_from_db()
    assert preflight.job.state == JobState.QUEUED
    assert client.post(url("start", preflight.job))["Location"] == url("preflight", preflight.job)
    text = client.get(url("preflight", preflight.job)).content.decode()
    assert "Start the job" not in text
    assert "it is kept with the job" in text


def test_what_stops_it_is_said_instead(sign_in, preflight, alice) -> None:
    problem = {"code": "disk", "kind": "disk", "needed_bytes": 2 * 1024**3, "free_bytes": 1024**2}
    finish(preflight, report={}, estimate={}, problems=[problem])
    Job.objects.filter(pk=preflight.job_id).update(state=JobState.FAILED)
    text = sign_in(alice).get(url("preflight", preflight.job)).content.decode()
    assert "About 2.0\xa0GB of disk are needed and 1.0\xa0MB are free." in text
    assert "Start the job" not in text
    assert f"?like={preflight.job.key}" in text


def test_the_job_page_holds_what_was_expected_against_what_came_out(sign_in, preflight, alice) -> None:
    client = sign_in(alice)
    assert "See what will be trained" in client.get(url("show", preflight.job)).content.decode()
    finish(preflight)
    result = {"n_train": 2, "n_tokens": 17_000, "n_steps": 24, "duration_s": 131}
    Job.objects.filter(pk=preflight.job_id).update(state=JobState.SUCCEEDED, result=result)
    text = client.get(url("show", preflight.job)).content.decode()
    for shown in ("17,808", "17,000", "2 min 0 s", "2 min 11 s", "1 row was cut."):
        assert shown in text


def test_strangers_and_other_roles_do_not_see_it(sign_in, preflight, rita, charlie) -> None:
    for name, method in (("preflight", "get"), ("start", "post")):
        assert getattr(sign_in(charlie), method)(url(name, preflight.job)).status_code == 404
        assert getattr(sign_in(rita), method)(url(name, preflight.job)).status_code == 403


def test_a_job_that_was_never_looked_at_has_no_such_page(sign_in, project, alice) -> None:
    assert sign_in(alice).get(url("preflight", JobFactory(project=project))).status_code == 404


def test_a_job_that_waits_for_its_start_says_so_and_counts_as_the_preflight_does(project, sign_in, alice) -> None:
    job = JobFactory(project=project, dataset_version__n_train=8)
    preflight = JobPreflight.objects.create(job=job, waits_for_start=True, report={"n_train": 6})
    url = reverse("training-job-show", args=["kitchen", job.key])
    assert "Checking files" in sign_in(alice).get(url).content.decode()
    JobPreflight.objects.filter(pk=preflight.pk).update(finished_at=timezone.now())
    page = sign_in(alice).get(url).content.decode()
    assert "Waits for its start" in page
    assert "Checking files" not in page
    assert "8 rows, 6 of them trained on" in page
