"""How a job learns, and what it begins with: through action, page, API, trainer and registry."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import TunedModelFactory
from tests.training.api import as_jsonl, chat_rows, error_of, post, preference_rows, upload
from tests.training.conftest import make_correction, make_demonstration
from training.actions.dataset import freeze_dataset
from training.actions.errors import BadHyperparameter, BaseModelNotReady, ModelInUse, TooFewPairs
from training.actions.job import create_job, execute_job
from training.actions.registry import delete_model
from training.models import DatasetVersion, Evaluation, Job, TunedModel
from training.queries import baseline_model
from training.queries.lineage import ancestors_of
from training.states import MIN_PAIRS, JobMethod, JobState

pytestmark = pytest.mark.django_db
JOBS = "/v1/fine_tuning/jobs"


@pytest.fixture
def version(project, base_model) -> DatasetVersion:
    """As many pairs as learning from preferences needs, and one row that is none."""
    for number in range(MIN_PAIRS):
        make_correction(project, f"Question {number}?")
    make_demonstration(project, "A demonstration?")
    return freeze_dataset(project=project)


@pytest.fixture
def parent(project, base_model) -> TunedModel:
    model = TunedModelFactory(project=project, job__base_model=base_model, job__dataset_version__number=99)
    model.folder.mkdir(parents=True)
    (model.folder / "config.json").write_text("{}")
    return model


def config_of(job: Job) -> dict[str, Any]:
    return json.loads((job.run_dir / "config.json").read_text())


@pytest.mark.parametrize("method", [JobMethod.DPO, JobMethod.SFT_DPO])
def test_preferences_are_learnt_by_the_trainer_for_pairs(version, trainer, method) -> None:
    job = create_job(dataset_version=version, method=method, hyperparameters={"n_epochs": 2, "beta": 0.3})
    config = config_of(job)
    assert config["method"] == method
    assert config["hyperparameters"] == {"n_epochs": 2, "beta": 0.3}  # no epochs of demonstrations
    trainer("succeed")
    execute_job(job=job)
    assert job.state == JobState.SUCCEEDED
    assert (job.run_dir / "command").read_text() == "dpo"


def test_answers_are_learnt_unless_something_else_is_asked_for(version, trainer) -> None:
    trainer("succeed")
    job = create_job(dataset_version=version)
    execute_job(job=job)
    assert job.method == JobMethod.SFT
    assert (job.run_dir / "command").read_text() == "sft"


def test_too_few_pairs_are_refused_before_anything_is_made(project, base_model) -> None:
    for number in range(MIN_PAIRS - 1):
        make_correction(project, f"Question {number}?")
    make_demonstration(project, "A demonstration?")
    with pytest.raises(TooFewPairs):
        create_job(dataset_version=freeze_dataset(project=project), method=JobMethod.DPO)
    assert not Job.objects.exists()


@pytest.mark.parametrize(("method", "name"), [(JobMethod.SFT, "beta"), (JobMethod.DPO, "replay_weight")])
def test_a_hyperparameter_of_another_method_is_refused(version, method, name) -> None:
    with pytest.raises(BadHyperparameter) as error:
        create_job(dataset_version=version, method=method, hyperparameters={name: 1})
    assert error.value.field == name
    create_job(dataset_version=version, method=method, hyperparameters={name: "auto"})


def test_a_model_is_trained_further_and_outlives_its_parent(version, parent, trainer) -> None:
    job = create_job(dataset_version=version, parent=parent, method=JobMethod.SFT_DPO, suffix="more")
    assert config_of(job)["base"] == str(parent.folder)
    with pytest.raises(ModelInUse):
        delete_model(model=parent)
    trainer("succeed")
    execute_job(job=job)
    child = job.tuned_model
    assert child.name == f"ft:{parent.base_model.slug}:emend:more:{job.key[-8:]}"
    assert baseline_model(child) == parent
    delete_model(model=parent)
    child = TunedModel.objects.get(pk=child.pk)
    assert child.is_ready
    assert baseline_model(child) is None
    assert ancestors_of(child) == [parent]
    with pytest.raises(BaseModelNotReady):
        create_job(dataset_version=version, parent=parent)
    TunedModel.everything.filter(pk=parent.pk).delete()  # even the row may go
    assert ancestors_of(TunedModel.objects.get(pk=child.pk)) == []


def test_the_form_asks_for_method_and_beginning(sign_in, alice, version, parent) -> None:
    client, address = sign_in(alice), reverse("training-job-create", args=["kitchen"])
    page = client.get(f"{address}?parent={parent.pk}&method=dpo").content.decode()
    assert f'<option value="{parent.pk}" selected>{parent.name}</option>' in page
    assert '<option value="dpo" selected>' in page
    data = {"dataset_version": version.pk, "base_model": parent.base_model_id, "suffix": "x"}
    refused = client.post(address, data | {"method": "sft", "beta": "0.2"})
    assert refused.status_code == 422
    assert "This hyperparameter has no effect with this method." in refused.content.decode()
    assert client.post(address, data | {"method": "dpo", "beta": "7"}).status_code == 422
    assert client.post(address, data | {"method": "telepathy"}).status_code == 422
    client.post(address, data | {"method": "sft_dpo", "tuning": "full", "beta": "0.2", "parent": parent.pk})
    job = Job.objects.exclude(tuned_model=parent).get()
    assert (job.method, job.parent) == (JobMethod.SFT_DPO, parent)
    assert config_of(job)["hyperparameters"] == {"beta": 0.2}
    assert config_of(job)["tuning"] == "full"


def test_a_model_of_another_project_is_nothing_to_go_on_from(sign_in, alice, version, base_model) -> None:
    other = TunedModelFactory(job__base_model=base_model)
    address = reverse("training-job-create", args=["kitchen"])
    data = {"dataset_version": version.pk, "base_model": base_model.pk, "parent": other.pk}
    assert sign_in(alice).post(address, data).status_code == 422


def test_the_job_tells_its_line_and_what_became_of_the_pairs(sign_in, alice, version, parent, trainer) -> None:
    job = create_job(dataset_version=version, parent=parent, method=JobMethod.DPO)
    trainer("succeed")
    execute_job(job=job)
    before = {"valid_margin": -3.0, "valid_loss": 2.5}
    Job.objects.filter(pk=job.pk).update(result={"valid_margin": 1.25, "valid_loss": 2.25, "before": before})
    client = sign_in(alice)
    page = client.get(reverse("training-job-show", args=["kitchen", job.key])).content.decode()
    assert "From preferences (DPO)" in page
    assert f"<code>{parent.name}</code>" in page
    assert '<td class="num">-3.00</td><td class="num">1.25</td>' in page
    older = client.get(reverse("training-job-show", args=["kitchen", parent.job.key])).content.decode()
    assert "Continued by" in older
    assert job.key in older
    assert "Held-out pairs" not in older
    delete_model(model=parent)
    page = client.get(reverse("training-job-show", args=["kitchen", job.key])).content.decode()
    assert "(deleted)" in page
    models = client.get(reverse("training-model-list", args=["kitchen"])).content.decode()
    assert f"goes on from {parent.name}" in models


def test_a_child_is_measured_against_its_parent(sign_in, alice, version, parent, trainer) -> None:
    job = create_job(dataset_version=version, parent=parent)
    trainer("succeed")
    execute_job(job=job)
    sign_in(alice).post(reverse("training-evaluation-create", args=["kitchen"]), {"model": job.tuned_model.name})
    evaluation = Evaluation.objects.get(tuned_model=job.tuned_model)
    assert evaluation.baseline.tuned_model == parent


def test_the_api_goes_on_from_a_model_by_both_methods(api: Client, parent) -> None:
    supervised = upload(api, as_jsonl(chat_rows(12))).json()["id"]
    pairs = upload(api, as_jsonl(preference_rows(12))).json()["id"]
    post(api, JOBS, {"model": parent.name, "training_file": supervised})
    hyperparameters = {"beta": 0.5, "sft_weight": 0.25, "n_epochs": "auto"}
    dpo = {"type": "dpo", "dpo": {"hyperparameters": hyperparameters}}
    shape = post(api, JOBS, {"model": parent.name, "training_file": pairs, "method": dpo}).json()
    assert shape["model"] == parent.name
    shown = shape["method"]["dpo"]["hyperparameters"]
    assert {name: shown[name] for name in hyperparameters} == hyperparameters
    first, second = Job.objects.filter(training_file__isnull=False).order_by("pk")
    assert [config_of(job)["base"] for job in (first, second)] == [str(parent.folder)] * 2
    assert [config_of(job)["method"] for job in (first, second)] == ["sft", "dpo"]
    assert config_of(second)["hyperparameters"] == {"beta": 0.5, "sft_weight": 0.25}


@pytest.mark.parametrize(
    ("name", "value"), [("beta", 0), ("beta", 2.1), ("beta", "much"), ("beta", True), ("sft_weight", -1)]
)
def test_the_api_names_a_wrong_hyperparameter_of_preferences(api: Client, base_model, name: str, value: Any) -> None:
    key = upload(api, as_jsonl(preference_rows(12))).json()["id"]
    method = {"type": "dpo", "dpo": {"hyperparameters": {name: value}}}
    response = post(api, JOBS, {"model": base_model.slug, "training_file": key, "method": method})
    assert response.status_code == 400
    assert error_of(response)["param"] == f"hyperparameters.{name}"
