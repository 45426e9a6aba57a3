"""How a job is run: through action, form, the base model's entry and the trainer's configuration."""

import json

import pytest
from django.urls import reverse

from tests.training.conftest import make_demonstration
from training.actions.dataset import freeze_dataset
from training.actions.errors import BadHyperparameter
from training.actions.job import create_job
from training.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(project, base_model):
    make_demonstration(project, "A demonstration?")
    return freeze_dataset(project=project)


def config_of(job):
    return json.loads((job.run_dir / "config.json").read_text())


def test_nothing_is_said_where_nothing_was_asked_for(version):
    job = create_job(dataset_version=version, setup={"recipe": "auto", "processes": None, "fsdp": True})
    assert job.setup == {}
    assert {"recipe", "launch"}.isdisjoint(config_of(job))
    assert config_of(job)["tuning"] == "auto"


def test_what_was_asked_for_reaches_the_trainer(version):
    job = create_job(dataset_version=version, tuning="full", setup={"recipe": "many_rows", "processes": 2})
    config = config_of(job)
    assert (config["recipe"], config["tuning"]) == ("many_rows", "full")
    assert config["launch"] == {"processes": 2, "fsdp": False}


def test_the_base_model_says_how_its_jobs_are_run_unless_they_say_otherwise(version, base_model):
    base_model.setup = {"tuning": "qlora", "processes": 8, "fsdp": True}
    base_model.save()
    config = config_of(create_job(dataset_version=version))
    assert (config["tuning"], config["launch"]) == ("qlora", {"processes": 8, "fsdp": True})
    other = create_job(dataset_version=version, tuning="lora", setup={"processes": 4})
    assert config_of(other)["tuning"] == "lora"
    assert config_of(other)["launch"] == {"processes": 4, "fsdp": False}


@pytest.mark.parametrize(
    ("setup", "field"),
    [
        ({"recipe": "magic"}, "recipe"),
        ({"processes": 65}, "processes"),
        ({"processes": "2"}, "processes"),
        ({"recipe": "corrections", "processes": 2}, "processes"),
        ({"speed": 1}, "speed"),
    ],
)
def test_nonsense_is_refused_by_name(version, setup, field):
    with pytest.raises(BadHyperparameter) as refused:
        create_job(dataset_version=version, setup=setup)
    assert refused.value.field == field


def test_the_recipe_for_corrections_trains_an_adapter(version):
    with pytest.raises(BadHyperparameter) as refused:
        create_job(dataset_version=version, tuning="full", setup={"recipe": "corrections"})
    assert refused.value.field == "tuning"


def test_the_page_takes_it_and_begins_again_with_it(version, client, alice, project):
    client.force_login(alice)
    url = reverse("training-job-create", args=[project.slug])
    values = {"base_model": Job._meta.get_field("base_model").related_model.objects.get().pk, "method": "sft"}
    refused = client.post(url, values | {"recipe": "corrections", "processes": "2"})
    assert refused.status_code == 422
    assert "trains in one process" in refused.content.decode()
    client.post(url, values | {"recipe": "many_rows", "processes": "2", "fsdp": "on"})
    job = Job.objects.get()
    assert job.setup == {"recipe": "many_rows", "processes": 2, "fsdp": True}
    page = client.get(url, {"like": job.key}).content.decode()
    assert '<option value="many_rows" selected>' in page
