from django.urls import reverse

from tests.factories import TunedModelFactory
from tests.training.conftest import make_correction
from training.actions.dataset import freeze_dataset
from training.actions.job import cancel_job, create_job

URL = reverse("training-project-summary", args=["kitchen"])
HTMX = {"HTTP_HX_REQUEST": "true"}


def test_the_piece_is_for_admins_of_the_project(sign_in, project, rita, charlie, alice) -> None:
    assert sign_in(charlie).get(URL).status_code == 404
    assert sign_in(rita).get(URL).status_code == 403
    assert sign_in(alice).post(URL).status_code == 405


def test_it_says_what_is_new_and_how_the_last_job_does(sign_in, project, base_model, alice) -> None:
    client = sign_in(alice)
    assert "No accepted example yet." in client.get(URL, **HTMX).content.decode()
    make_correction(project, "One?")
    assert "1 accepted example, none of them trained on yet." in client.get(URL, **HTMX).content.decode()
    job = create_job(dataset_version=freeze_dataset(project=project))
    response = client.get(URL, **HTMX)
    text = response.content.decode()
    assert response.status_code == 200
    assert "<html" not in text
    assert "every 2s" in text
    assert "Nothing new since dataset version 1." in text
    assert reverse("training-job-create", args=["kitchen"]) in text
    cancel_job(job=job)
    make_correction(project, "Two?")
    model = TunedModelFactory(project=project, job=job)
    response = client.get(URL, **HTMX)
    assert response.status_code == 286
    assert "1 new example since dataset version 1." in response.content.decode()
    assert model.name in response.content.decode()
    assert "every 2s" not in response.content.decode()
