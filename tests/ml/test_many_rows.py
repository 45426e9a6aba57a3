import json
import signal

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from ml import many_rows, rundir, sft
from ml.device import flops_per_token, training_device
from ml.errors import DataError
from ml.many_rows import resolve
from ml.plan import choose_recipe
from ml.rundir import RunDirectory
from tests.ml.tiny import assistant, save_tiny, user

# PEFT asks the model by a name that transformers is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
HYPERPARAMETERS = {"n_epochs": 4, "batch_size": 4, "lora_rank": 4, "learning_rate": 0.01}
ANSWERS = ("sat on the mat", "and", "is the capital of France", "ran", "the mat and the dog ran")
ROWS = [
    {
        "id": f"d{i}",
        "kind": "demonstration",
        "messages": [user(f"what is {word}"), assistant(answer)],
        "rejected": None,
    }
    for i, (word, answer) in enumerate(zip(["the", "cat", "the", "dog", "France"], ANSWERS, strict=True))
]


@pytest.fixture(autouse=True)
def _restored_signals():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def make_run(tmp_path):
    base = save_tiny(tmp_path / "base")

    def make(name, *, rows=ROWS, hyperparameters=None, **config):
        path = tmp_path / name
        path.mkdir()
        usual = {"method": "sft", "recipe": "many_rows", "base": str(base), "seed": 1, "threads": 1, "parent_pid": None}
        usual["smoke_test"] = False  # a model of random weights says nothing
        usual["precision"] = "float32"  # what is compared is the arithmetic, not the processor's rounding
        wanted = HYPERPARAMETERS | (hyperparameters or {})
        (path / "config.json").write_text(json.dumps(usual | {"hyperparameters": wanted} | config))
        for file, lines in (("train", rows), ("valid", ROWS[:3])):
            (path / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
        return path

    return make


def events(run):
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def losses(run):
    return {e["data"]["step"]: e["data"]["loss"] for e in events(run) if e["code"] == "metrics"}


def result(run):
    return json.loads((run / "result.json").read_text())


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_a_run_learns_tells_about_it_and_leaves_a_model(make_run, tuning):
    run = make_run("run", tuning=tuning, micro_batch_tokens=40)
    assert sft.main([str(run)]) == 0
    facts, codes = result(run), [event["code"] for event in events(run)]
    assert (facts["status"], facts["recipe"], facts["tuning"]) == ("succeeded", "many_rows", tuning)
    assert (facts["n_train"], facts["n_valid"], facts["n_steps"]) == (5, 3, 5)
    metrics = [event["data"] for event in events(run) if event["code"] == "metrics"]
    assert [m["n_examples"] for m in metrics] == [4, 8, 12, 16, 20]
    assert metrics[-1]["n_tokens"] == facts["n_tokens"]
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    assert facts["valid_loss"] < metrics[0]["valid_loss"]
    assert {"learning_rate", "grad_norm", "token_accuracy", "tokens_per_s"} <= set(metrics[0])
    assert codes[0] == "started"
    assert codes[-2:] == ["merging", "finished"]
    assert (run / "adapter" / "adapter_model.safetensors").exists() == (tuning == "lora")
    model = AutoModelForCausalLM.from_pretrained(run / "model", dtype="auto")
    assert model.dtype == torch.bfloat16
    before = AutoModelForCausalLM.from_pretrained(run.parent / "base", dtype="auto")
    assert torch.equal(model.model.embed_tokens.weight, before.model.embed_tokens.weight.bfloat16()) == (
        tuning == "lora"
    )
    assert not torch.equal(
        model.model.layers[0].mlp.up_proj.weight, before.model.layers[0].mlp.up_proj.weight.bfloat16()
    )


def test_the_size_of_the_passes_changes_nothing_but_memory(make_run):
    small, large = make_run("small", micro_batch_tokens=20), make_run("large", micro_batch_tokens=1000)
    assert sft.main([str(small)]) == sft.main([str(large)]) == 0
    assert losses(small) == pytest.approx(losses(large), abs=1e-4)


class Broken(many_rows.Reporter):
    """Breaks off in the middle of the run."""

    def on_log(self, args, state, control, logs, **kwargs):
        super().on_log(args, state, control, logs, **kwargs)
        if state.global_step == 3:
            raise RuntimeError("the light went out")


def test_a_broken_run_resumes_to_the_same_losses_and_weights(make_run, monkeypatch, capsys):
    whole, broken = make_run("whole"), make_run("broken")
    assert sft.main([str(whole)]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(many_rows, "Reporter", Broken)
        assert sft.main([str(broken)]) == rundir.EXIT_FAILED
    assert max(losses(broken)) == 3
    assert sft.main([str(broken)]) == 0
    assert "resumed" in [event["code"] for event in events(broken)]
    assert losses(broken) == losses(whole)
    ours, theirs = (load_file(run / "model" / "model.safetensors") for run in (broken, whole))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_rows_of_which_nothing_is_learnt_are_dropped_and_long_ones_cut(make_run):
    silent = {**ROWS[0], "id": "s", "messages": [user("the cat"), {**assistant("sat"), "weight": 0}]}
    run = make_run("run", rows=[*ROWS, silent], hyperparameters={"n_epochs": 1, "max_tokens": 16})
    assert sft.main([str(run)]) == 0
    assert (result(run)["n_train"], result(run)["n_dropped"]) == (5, 1)
    assert result(run)["n_cut"] == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rows": [{**ROWS[0], "messages": [user("a"), {**assistant("b"), "weight": 0}]}]},
            "nothing is learnt|which anything",
        ),
        ({"rows": [{**ROWS[0], "messages": [user("a")]}]}, "line 1"),
        ({"rows": [{**ROWS[0], "weight": -1}]}, "weight"),
        ({"rows": [{**ROWS[0], "kind": "rumour"}]}, "line 1"),
        ({"tuning": "qlora"}, "GPU"),
        ({"tuning": "magic"}, "magic"),
        ({"recipe": "magic"}, "magic"),
        ({"hyperparameters": {"replay_weight": 1.0}}, "replay_weight"),
        ({"recipe": "corrections", "tuning": "full"}, "LoRA"),
    ],
)
def test_what_cannot_be_trained_is_said(make_run, changes, message, capsys):
    run = make_run("run", **changes)
    assert sft.main([str(run)]) == rundir.EXIT_DATA
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(result(run)["error"]["message"])


def test_the_recipe_follows_from_the_rows_and_what_was_asked_for():
    assert choose_recipe({}, n_rows=500)[0] == "corrections"
    assert choose_recipe({}, n_rows=501)[0] == "many_rows"
    assert choose_recipe({"tuning": "full"}, n_rows=5)[0] == "many_rows"
    assert choose_recipe({"launch": {"processes": 2}}, n_rows=5)[0] == "many_rows"
    assert choose_recipe({"hyperparameters": {"replay_weight": 1}}, n_rows=5000)[0] == "corrections"
    assert choose_recipe({"recipe": "many_rows"}, n_rows=5) == ("many_rows", None)
    with pytest.raises(DataError):
        choose_recipe({"recipe": "corrections", "launch": {"processes": 2}}, n_rows=5)


def test_auto_is_resolved_with_a_reason_and_a_given_value_is_kept():
    hyperparameters, reasons = resolve({"batch_size": 8, "demonstration_epochs": 2}, n_rows=1000, tuning="lora")
    assert hyperparameters.batch_size == 8
    assert "batch_size" not in reasons
    assert reasons["n_epochs"]
    full, _ = resolve({}, n_rows=1000, tuning="full")
    assert full.learning_rate < hyperparameters.learning_rate


@pytest.mark.parametrize(
    ("given", "n_rows", "steps"),
    [
        ({}, 12, (8, 1, 1e-3)),  # 96 steps
        ({"n_epochs": 1}, 12, (1, 1, 2e-3)),  # 12 steps
        ({"n_epochs": 25}, 12, (25, 1, 5e-4)),  # 300 steps
        ({}, 500, (3, 15, 5e-4)),
        ({}, 1000, (3, 16, 5e-4)),
    ],
)
def test_few_rows_are_seen_often_in_small_batches_and_few_steps_are_large(given, n_rows, steps):
    found, _ = resolve(given, n_rows=n_rows, tuning="lora")
    assert (found.n_epochs, found.batch_size, found.learning_rate) == steps


def test_flops_per_token_by_hand():
    """6 x 10 parameters, 2 layers x 12 x 8 wide x 5 tokens long; frozen weights save two of the six."""
    assert flops_per_token(10, n_layers=2, width=8, mean_length=5) == 60 + 960
    assert flops_per_token(10, n_layers=2, width=8, mean_length=5, is_frozen=True) == 40 + 960


def test_two_processes_train_as_one_does(make_run):
    one, two = make_run("one"), make_run("two", launch={"processes": 2}, threads=2)
    assert sft.main([str(one)]) == 0
    assert sft.main([str(two)]) == 0
    assert events(two)[0]["data"]["n_processes"] == 2
    assert losses(two) == pytest.approx(losses(one), abs=1e-3)
    assert result(two)["valid_loss"] == pytest.approx(result(one)["valid_loss"], abs=1e-3)
    assert [event["number"] for event in events(two)] == list(range(1, len(events(two)) + 1))
    assert [event["code"] for event in events(two)] == [event["code"] for event in events(one)]
    assert (two / "model" / "model.safetensors").exists()
    assert (two / "adapter" / "adapter_model.safetensors").exists()


def test_a_run_goes_on_in_the_precision_in_which_it_began(make_run, monkeypatch):
    """Which one is faster is measured, and a second measurement may say something else."""
    run = RunDirectory(make_run("run", precision=None))
    monkeypatch.setattr("ml.device.faster_dtype", lambda: torch.bfloat16)
    assert training_device(run, threads=1).dtype == torch.bfloat16
    monkeypatch.setattr("ml.device.faster_dtype", lambda: torch.float32)
    assert training_device(run, threads=1).dtype == torch.bfloat16
    assert training_device(RunDirectory(make_run("new", precision=None)), threads=1).dtype == torch.float32
    with pytest.raises(DataError):
        training_device(RunDirectory(make_run("odd", precision="float8")), threads=1)
