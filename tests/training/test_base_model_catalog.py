import io
import json
import tarfile

import pytest
from asgiref.sync import async_to_sync
from django.urls import reverse

from common.models import Transition
from tests.factories import BaseModelFactory, DatasetVersionFactory, TunedModelFactory
from training.actions import runner
from training.actions.catalog import add_base_model, choose_default, refuse_unready, set_aliases
from training.actions.errors import BaseModelNotReady, NameTaken, NotPossible, TooLittleMemory
from training.actions.pulling import cancel_pull, pull, recover_pulls, request_pull
from training.model_card import write_model_card
from training.models import BaseModel
from training.queries import default_base_model, find_base_model
from training.states import BaseModelState, JobMethod, JobTuning

LIST = reverse("training-base-model-list")
ADD = reverse("training-base-model-add")
FORM = {
    "name": "Tiny",
    "slug": "tiny",
    "source": "folder",
    "location": "/srv/models/tiny",
    "aliases": "ada, babbage",
    "training_price": "0.5",
    "inference_price": "0",
}


@pytest.fixture
def root(alice):
    alice.is_superuser = True
    alice.save()
    return alice


def make(slug="tiny", **fields):
    return BaseModelFactory(slug=slug, location=slug, is_default=False, **fields)


def test_an_alias_points_to_one_entry_and_moves_with_a_line_in_the_audit(db, alice) -> None:
    first, second = make("first", aliases=["ada", "curie"]), make("second")
    set_aliases(base_model=second, aliases=["ada"], by=alice)
    first.refresh_from_db()
    assert (first.aliases, second.aliases) == (["curie"], ["ada"])
    assert find_base_model("ada") == second
    line = Transition.objects.of(first).get(what="aliases")
    assert (line.before, line.after, line.by_name) == ("ada, curie", "curie", str(alice))
    with pytest.raises(NameTaken):
        set_aliases(base_model=second, aliases=["first"], by=alice)
    with pytest.raises(NameTaken):
        add_base_model(slug="curie", name="x", source="folder", location="/x", by=alice)


def test_a_project_chooses_what_its_jobs_begin_with(project, base_model, alice) -> None:
    other = make("other")
    assert default_base_model(project) == base_model
    choose_default(project=project, base_model=other, by=alice)
    assert default_base_model(project) == other
    choose_default(project=project, base_model=None, by=alice)
    assert default_base_model(project) == base_model


def test_a_job_is_refused_before_it_begins(base_model, settings) -> None:
    settings.TRAINING_MEMORY_GB = 16
    refuse_unready(base_model, method=JobMethod.SFT)  # nobody knows its size
    base_model.n_parameters = 1_500_000_000
    refuse_unready(base_model, method=JobMethod.SFT)
    with pytest.raises(TooLittleMemory, match=r"22\.4 GB .* 16\.0 GB"):
        refuse_unready(base_model, method=JobMethod.SFT, tuning=JobTuning.FULL)
    with pytest.raises(TooLittleMemory, match=r"27\.9 GB"):
        refuse_unready(base_model, method=JobMethod.DPO, tuning=JobTuning.FULL)
    base_model.state, base_model.problem = BaseModelState.FAILED, "A part is missing."
    with pytest.raises(BaseModelNotReady, match="A part is missing"):
        refuse_unready(base_model, method=JobMethod.SFT)
    with pytest.raises(BaseModelNotReady, match="not on this machine"):
        refuse_unready(make("nowhere"), method=JobMethod.SFT)


def puller(settings, tmp_path, result, *, waits=False):
    """Put a process in the place of `python -m ml` that answers a pull with `result`, or waits for its end."""
    script = tmp_path / "pull.sh"
    (tmp_path / "answer.json").write_text(json.dumps(result))
    act = "exec sleep 60" if waits else f"cp {tmp_path / 'answer.json'} $2/result.json"
    script.write_text(f'echo \'{{"size_bytes": 200}}\' > "$2/size.json"\n{act}\n')
    settings.ML_COMMAND = ["sh", str(script)]


FACTS = {"n_parameters": 7, "size_bytes": 200, "context_tokens": 64, "licence": "mit", "has_template": False}


def test_a_pull_ends_ready_with_the_facts(db, settings, tmp_path) -> None:
    puller(settings, tmp_path, {"status": "succeeded", "facts": FACTS})
    entry = make(source="hub")
    request_pull(base_model=entry)
    request_pull(base_model=entry)
    assert entry.state == BaseModelState.WAITING
    pull(base_model=entry)
    entry.refresh_from_db()
    assert (entry.state, entry.n_parameters, entry.context_tokens, entry.licence) == ("present", 7, 64, "mit")
    asked = json.loads((settings.RUNS_DIR / "pull-tiny" / "config.json").read_text())
    assert (asked["repository"], asked["folder"]) == ("tiny", str(settings.MODELS_DIR / "tiny"))
    assert entry.standing == BaseModelState.MISSING  # the stand-in has brought no weights
    assert [line.after for line in Transition.objects.of(entry)] == ["waiting", "pulling", "present"]


def test_a_pull_that_fails_keeps_the_reason_and_may_be_tried_again(db, settings, tmp_path) -> None:
    puller(settings, tmp_path, {"status": "failed", "error": {"kind": "data", "message": "It is private."}})
    entry = make(source="hub")
    request_pull(base_model=entry)
    pull(base_model=entry)
    entry.refresh_from_db()
    assert (entry.state, entry.problem) == ("failed", "It is private.")
    request_pull(base_model=entry)
    assert (entry.state, entry.problem) == ("waiting", "")


def test_a_pull_that_is_called_off_ends_its_process(db, settings, tmp_path, monkeypatch) -> None:
    puller(settings, tmp_path, {}, waits=True)
    entry = make(source="hub")
    with pytest.raises(NotPossible):
        cancel_pull(base_model=entry)
    request_pull(base_model=entry)
    children = []
    real = runner.Child.ticks

    def ticks(child):
        children.append(child)
        for tick in real(child):
            if (tmp_path / "runs/pull-tiny/size.json").exists():
                cancel_pull(base_model=BaseModel.objects.get(pk=entry.pk))
            yield tick

    monkeypatch.setattr(runner.Child, "ticks", ticks)
    pull(base_model=entry)
    entry.refresh_from_db()
    assert entry.state == BaseModelState.MISSING
    assert children[0].exit_code is not None


def test_a_pull_whose_worker_died_is_taken_up(db, settings, tmp_path, monkeypatch) -> None:
    puller(settings, tmp_path, {"status": "succeeded", "facts": FACTS})
    asked = []
    monkeypatch.setattr("training.tasks.pull_base_model.delay", asked.append)
    entry = make(source="hub", state=BaseModelState.PULLING)
    assert recover_pulls() == 1
    entry.refresh_from_db()
    assert (entry.state, asked) == (BaseModelState.WAITING, [entry.pk])


def test_the_pages_are_for_admins_and_changes_for_superusers(sign_in, base_model, alice, bob, root) -> None:
    assert sign_in(bob).get(LIST).status_code == 403
    root.is_superuser = False
    root.save()
    client = sign_in(root)
    show = reverse("training-base-model-show", args=[base_model.pk])
    assert base_model.name in client.get(LIST).content.decode()
    assert "Edit" not in client.get(show).content.decode()
    for url in (ADD, reverse("training-base-model-edit", args=[base_model.pk])):
        assert client.get(url).status_code == client.post(url).status_code == 403
    for name in ("pull", "cancel"):
        assert client.post(reverse(f"training-base-model-{name}", args=[base_model.pk])).status_code == 403


def test_a_superuser_adds_and_edits_an_entry(sign_in, db, root) -> None:
    client = sign_in(root)
    wrong = client.post(ADD, FORM | {"source": "hub"}, headers={"HX-Request": "true"})
    assert wrong.status_code == 422
    assert "organisation/model" in wrong.content.decode()
    client.post(ADD, FORM)
    entry = BaseModel.objects.get(slug="tiny")
    assert (entry.aliases, str(entry.training_price), entry.state) == (["ada", "babbage"], "0.500000", "waiting")
    assert client.post(ADD, FORM).status_code == 422  # its name is taken
    edit = reverse("training-base-model-edit", args=[entry.pk])
    assert 'value="ada, babbage"' in client.get(edit).content.decode()
    assert client.post(edit, FORM | {"aliases": "Not good!"}).status_code == 422
    assert client.post(edit, FORM | {"aliases": "ada", "is_default": "on"}).status_code == 302
    entry.refresh_from_db()
    assert (entry.aliases, entry.is_default) == (["ada"], True)


def test_the_state_polls_while_weights_are_fetched_and_stops(sign_in, db, root) -> None:
    entry = make(source="hub", state=BaseModelState.PULLING, size_bytes=200, n_bytes_done=50)
    client, show = sign_in(root), reverse("training-base-model-show", args=[entry.pk])
    piece = client.get(show, headers={"HX-Request": "true"})
    assert (piece.status_code, 'hx-trigger="every 2s"' in piece.content.decode()) == (200, True)
    assert 'value="25"' in piece.content.decode()
    cancel_pull(base_model=entry)
    assert client.get(show, headers={"HX-Request": "true"}).status_code == 286


def test_the_interface_lists_the_catalog(sign_in, alice, project, base_model) -> None:
    make("other", training_price="0.25")
    rows = sign_in(alice).get(reverse("api-base-models", args=[project.slug])).json()["items"]
    assert [(row["slug"], row["is_project_default"], row["standing"]) for row in rows] == [
        (base_model.slug, True, "present"),
        ("other", False, "missing"),
    ]
    assert rows[1]["training_price"] == "0.250000"


def test_a_card_says_what_a_model_is_made_of_and_never_differs(project) -> None:
    version = DatasetVersionFactory(project=project, content_hash="ab" * 32)
    base = make("tiny", licence="Apache-2.0")
    model = TunedModelFactory(project=project, job__dataset_version=version, job__base_model=base, base_model=base)
    result = {"valid_loss": 1.25, "hyperparameters": {"n_epochs": 3, "lora_rank": 16}, "n_steps": 4}
    card = write_model_card(model, result=result)
    assert card == write_model_card(model, result=dict(reversed(result.items())))
    head, body = card.split("---\n")[1:3]
    assert f'dataset_sha256: "{"ab" * 32}"' in head
    assert 'license: "apache-2.0"' in head
    for fact in (model.name, "| `valid_loss` | 1.25 |", "| `lora_rank` | 16 |", "| `n_steps` | 4 |", "the last answer"):
        assert fact in body


async def read(response) -> bytes:
    return b"".join([block async for block in response.streaming_content])


def test_an_admin_downloads_a_models_folder_as_one_file(sign_in, project, base_model, alice, rita) -> None:
    model = TunedModelFactory(project=project, job__base_model=base_model)
    url = reverse("training-model-download", args=[project.slug, model.pk])
    assert sign_in(alice).get(url).status_code == 302  # its folder is gone
    files = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 5, "README.md": b""}
    model.folder.mkdir(parents=True)
    for name, content in files.items():
        (model.folder / name).write_bytes(content)
    first, again = (async_to_sync(read)(sign_in(alice).get(url)) for _ in range(2))
    assert first == again
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        found = {entry.name: tar.extractfile(entry).read() for entry in tar}
    assert found == {f"{model.job.key}/{name}": content for name, content in files.items()}
    page = reverse("training-model-lineage", args=[project.slug, model.pk])
    assert "model.safetensors" in sign_in(rita).get(page).content.decode()
    assert url not in sign_in(rita).get(page).content.decode()
