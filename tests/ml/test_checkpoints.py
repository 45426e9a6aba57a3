import json
import signal

import pytest
import torch
from safetensors.torch import load_file

from ml import merge, sft
from ml.checkpoints import best_step, keep_checkpoints, last_checkpoint, stopping_step
from tests.ml.test_many_rows import ROWS
from tests.ml.tiny import save_tiny

# PEFT asks the model by a name that transformers is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")


@pytest.fixture(autouse=True)
def _restored_signals():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("losses", "patience", "step"),
    [
        ((3, 2, 2.1, 2, 1), 2, 4),
        ((3, 2, 2.1, 1, 1.5), 2, None),
        ((3, 2, 2.1, 2, 1), 0, None),
        ((3, 3), 1, 2),
        ((float("nan"), 2, 3), 2, None),
        ((), 1, None),
    ],
)
def test_training_ends_after_so_many_checkpoints_without_a_lower_loss(losses, patience, step):
    assert stopping_step(list(enumerate(losses, start=1)), patience=patience) == step


def test_the_best_is_the_first_of_equal_ones():
    assert best_step([(10, 2.0), (20, 1.5), (30, 1.5)]) == 20
    assert best_step([]) is None


def test_the_best_the_last_and_the_newest_stay_and_only_the_last_can_be_resumed(tmp_path):
    for step in (2, 4, 6, 8, 10):
        folder = tmp_path / f"checkpoint-{step}"
        (folder / "optimizer_0").mkdir(parents=True)
        for name in ("complete", "adapter_model.safetensors", "optimizer.pt", "rng_state_1.pth"):
            (folder / name).touch()
    half = tmp_path / "checkpoint-12"
    half.mkdir()
    assert keep_checkpoints(tmp_path, best=4, n_kept=3) == [4, 8, 10]
    assert sorted(path.name for path in (tmp_path / "checkpoint-4").iterdir()) == [
        "adapter_model.safetensors",
        "complete",
    ]
    assert len(list((tmp_path / "checkpoint-10").iterdir())) == 5
    assert half.exists()
    assert last_checkpoint(tmp_path).name == "checkpoint-10"
    assert not half.exists()
    assert keep_checkpoints(tmp_path, best=4, n_kept=1) == [4, 10]


@pytest.fixture
def make_run(tmp_path):
    base = save_tiny(tmp_path / "base")

    def make(name, **hyperparameters):
        path = tmp_path / name
        path.mkdir()
        config = {"method": "sft", "recipe": "many_rows", "base": str(base), "seed": 1, "threads": 1}
        wanted = {"n_epochs": 30, "batch_size": 5, "lora_rank": 4, "learning_rate": 0.05, "patience": 1}
        config |= {"parent_pid": None, "smoke_test": False, "hyperparameters": wanted | hyperparameters}
        (path / "config.json").write_text(json.dumps(config))
        swapped = [
            {**row, "messages": [row["messages"][0], other["messages"][1]]}
            for row, other in zip(ROWS, [*ROWS[1:], ROWS[0]], strict=True)
        ]
        for file, rows in (("train", ROWS), ("valid", swapped)):  # what is learnt is wrong there
            (path / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return make


def read(run):
    return json.loads((run / "result.json").read_text())


def events(run):
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def losses(run):
    return {e["data"]["step"]: e["data"]["loss"] for e in events(run) if e["code"] == "metrics"}


def test_a_run_that_gets_worse_stops_and_keeps_its_best_weights(make_run):
    run = make_run("run")
    assert sft.main([str(run)]) == 0
    found = read(run)
    metrics = [e["data"] for e in events(run) if e["code"] == "metrics"]
    measured = {e["step"]: e["valid_loss"] for e in metrics if "valid_loss" in e}
    assert found["is_stopped_early"]
    assert found["best_step"] == min(measured, key=measured.get) < found["last_step"] == max(losses(run)) < 30
    assert found["valid_loss"] == pytest.approx(measured[found["best_step"]])
    kept = next(e["data"] for e in events(run) if e["code"] == "best_kept")
    assert kept["best_step"] == found["best_step"]
    checkpoints = [e["data"] for e in events(run) if e["code"] == "checkpoint"]
    assert checkpoints[-1]["kept"][-1] == found["last_step"]
    assert found["best_step"] in checkpoints[-1]["kept"]
    assert all(each["size_bytes"] > 1000 for each in checkpoints)
    best = run / "checkpoints" / f"checkpoint-{found['best_step']}"
    ours, theirs = (
        load_file(run / "adapter" / "adapter_model.safetensors"),
        load_file(best / "adapter_model.safetensors"),
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)

    merging = run.parent / "merging"
    merging.mkdir()
    base = json.loads((run / "config.json").read_text())["base"]
    config = {"base": base, "checkpoint": str(best), "threads": 1, "parent_pid": None}
    (merging / "config.json").write_text(json.dumps(config))
    assert merge.main([str(merging)]) == 0
    ours, theirs = (load_file(folder / "model" / "model.safetensors") for folder in (merging, run))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert (merging / "model" / "chat_template.jinja").read_text() == (
        run / "model" / "chat_template.jinja"
    ).read_text()
    (best / "complete").unlink()
    (merging / "result.json").unlink()
    assert merge.main([str(merging)]) == 2


def test_a_run_that_was_killed_after_it_had_stopped_does_not_go_on(make_run, monkeypatch, capsys):
    whole, killed = make_run("whole"), make_run("killed")
    assert sft.main([str(whole)]) == 0

    def break_off(*args, **kwargs):
        raise RuntimeError("the light went out")

    with monkeypatch.context() as patch:
        patch.setattr("ml.many_rows.save", break_off)
        assert sft.main([str(killed)]) == 1
    assert sft.main([str(killed)]) == 0
    assert read(whole)["is_stopped_early"]
    assert losses(killed) == losses(whole)
    left_out = ("duration_s",)
    assert {k: v for k, v in read(killed).items() if k not in left_out} == {
        k: v for k, v in read(whole).items() if k not in left_out
    }
    ours, theirs = (load_file(run / "model" / "model.safetensors") for run in (killed, whole))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
