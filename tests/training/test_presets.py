import pytest
from django.urls import reverse

from tests.factories import JobFactory
from tests.training.conftest import make_correction
from training.actions.errors import BadHyperparameter, NameTaken
from training.actions.preset import delete_preset, rename_preset, save_preset
from training.models import Job, JobPreflight, Preset
from training.states import JobState


def url(name: str, *args) -> str:
    return reverse(f"training-{name}", args=["kitchen", *args])


@pytest.fixture
def preset(project, alice) -> Preset:
    return save_preset(project=project, name=" Bold ", hyperparameters={"n_epochs": "9", "max_tokens": 64}, by=alice)


def test_a_preset_keeps_what_was_asked_for(preset) -> None:
    assert preset.name == "Bold"
    assert preset.hyperparameters["n_epochs"] == 9
    assert preset.hyperparameters["max_tokens"] == 64
    assert preset.hyperparameters["batch_size"] == "auto"


def test_names_are_unique_in_a_project_and_values_are_checked(preset, project, charlie) -> None:
    with pytest.raises(NameTaken):
        save_preset(project=project, name="Bold", hyperparameters={})
    save_preset(project=charlie.memberships.get().project, name="Bold", hyperparameters={})
    with pytest.raises(BadHyperparameter):
        save_preset(project=project, name="Wild", hyperparameters={"n_epochs": 1000})
    other = save_preset(project=project, name="Mild", hyperparameters={})
    with pytest.raises(NameTaken):
        rename_preset(preset=other, name="Bold")
    rename_preset(preset=other, name="Soft")
    delete_preset(preset=preset)
    assert list(Preset.objects.filter(project=project).values_list("name", flat=True)) == ["Soft"]


def test_the_form_saves_its_settings_and_begins_with_them(sign_in, project, base_model, alice) -> None:
    client = sign_in(alice)
    data = {"base_model": base_model.pk, "n_epochs": "7", "preset-name": "Seven"}
    response = client.post(url("preset-save"), data)
    preset = Preset.objects.get()
    assert response["Location"] == f"{url('job-create')}?preset={preset.pk}"
    assert (preset.created_by, preset.hyperparameters["n_epochs"]) == (alice, 7)
    form = client.get(response["Location"]).context["form"]
    assert form["n_epochs"].value() == 7
    again = client.post(url("preset-save"), data)
    assert again.status_code == 422
    assert "There is a preset of this name already." in again.content.decode()
    wrong = client.post(url("preset-save"), {**data, "preset-name": "Other", "n_epochs": "many"})
    assert wrong.status_code == 422
    assert "a whole number from 1 to 50" in wrong.content.decode()
    assert Preset.objects.count() == 1


def test_presets_are_renamed_and_deleted_on_their_page(sign_in, preset, alice) -> None:
    client = sign_in(alice)
    assert client.post(url("preset-rename", preset.pk), {"name": ""}).status_code == 422
    client.post(url("preset-rename", preset.pk), {"name": "Brave"})
    assert 'value="Brave"' in client.get(url("preset-list")).content.decode()
    client.post(url("preset-delete", preset.pk))
    assert "No preset yet" in client.get(url("preset-list")).content.decode()


def test_two_are_compared_and_one_may_be_a_job(sign_in, preset, project, alice) -> None:
    job = JobFactory(
        project=project, hyperparameters={"n_epochs": "auto"}, result={"hyperparameters": {"n_epochs": 12}}
    )
    page = sign_in(alice).get(url("preset-list"), {"a": f"preset-{preset.pk}", "b": f"job-{job.key}"})
    rows = {row["label"]: row for row in page.context["rows"]}
    assert rows["Epochs"]["a"]["asked"] == 9
    assert rows["Epochs"]["b"] == {"asked": "auto", "used": 12}
    assert rows["Epochs"]["differs"]
    assert not rows["Batch size"]["differs"]
    assert "was 12" in page.content.decode()


def test_what_another_project_has_is_not_compared(sign_in, preset, alice) -> None:
    foreign = JobFactory()
    page = sign_in(alice).get(url("preset-list"), {"a": f"preset-{preset.pk}", "b": f"job-{foreign.key}"})
    assert page.context["rows"] == []


def test_training_again_begins_with_the_settings_of_that_job(sign_in, project, base_model, alice) -> None:
    former = JobFactory(project=project, base_model=base_model, suffix="mine", hyperparameters={"lora_rank": 4})
    form = sign_in(alice).get(url("job-create"), {"like": former.key}).context["form"]
    assert form["lora_rank"].value() == 4
    assert form["suffix"].value() == "mine"
    assert form["dataset_version"].value() == former.dataset_version_id
    assert form["n_epochs"].value() == "auto"


def test_changing_the_settings_replaces_the_job_that_was_not_started(sign_in, project, base_model, alice) -> None:
    make_correction(project, "One?")
    unstarted = JobFactory(project=project)
    JobPreflight.objects.create(job=unstarted, waits_for_start=True)
    client = sign_in(alice)
    page = client.get(url("job-create"), {"like": unstarted.key}).content.decode()
    assert f'name="replaces" value="{unstarted.key}"' in page
    client.post(url("job-create"), {"base_model": base_model.pk, "replaces": unstarted.key})
    unstarted.refresh_from_db()
    assert unstarted.state == JobState.CANCELLED
    assert Job.objects.exclude(pk=unstarted.pk).get().preflight.waits_for_start


def test_a_preset_keeps_tuning_and_recipe_and_they_are_compared(sign_in, project, base_model, alice) -> None:
    client = sign_in(alice)
    given = {
        "preset-name": "Whole",
        "tuning": "full",
        "recipe": "many_rows",
        "processes": "2",
        "base_model": base_model.pk,
    }
    client.post(url("preset-save"), given)
    preset = Preset.objects.get()
    assert (preset.tuning, preset.setup) == ("full", {"recipe": "many_rows", "processes": 2, "fsdp": False})
    form = client.get(url("job-create"), {"preset": preset.pk}).context["form"]
    assert [form[name].value() for name in ("tuning", "recipe", "processes")] == ["full", "many_rows", 2]
    job = JobFactory(project=project, result={"tuning": "lora", "recipe": "corrections"})
    page = client.get(url("preset-list"), {"a": f"preset-{preset.pk}", "b": f"job-{job.key}"})
    rows = {str(row["label"]): row for row in page.context["rows"]}
    assert rows["Recipe"]["a"]["asked"] == "many_rows"
    assert rows["Recipe"]["b"] == {"asked": "auto", "used": "corrections"}
    assert rows["Weights that are trained"]["differs"]
    assert not rows["Method"]["differs"]
    wrong = client.post(url("preset-save"), given | {"preset-name": "Odd", "recipe": "corrections"})
    assert wrong.status_code == 422
