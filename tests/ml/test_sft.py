import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from ml import rundir, sft
from ml.batch import collate, learnt_hidden
from ml.data import Encoded
from ml.packing import pack
from ml.plan import Sight, Step, resolve
from tests.ml.tiny import assistant, build_model, build_tokenizer, save_tiny, user

# PEFT asks the model by a name that transformers is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
ROOT = Path(__file__).resolve().parents[2]
HYPERPARAMETERS = {"n_epochs": 6, "batch_size": 2, "replay_batch_size": 1, "lora_rank": 4, "learning_rate": 0.01}


def correction(number, question, answer):
    messages = [user(question), assistant(answer)]
    return {"id": f"c{number}", "kind": "correction", "messages": messages, "rejected": "ran", "is_new": True}


ROWS = [
    correction(1, "the cat", "sat on the mat"),
    correction(2, "the dog", "and"),
    {"id": "d1", "kind": "demonstration", "messages": [user("what"), assistant("is the capital")], "rejected": None},
]


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(autouse=True)
def _restored_signals():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def make_run(tmp_path):
    base = save_tiny(tmp_path / "base")

    def make(name, **changes):
        path = tmp_path / name
        path.mkdir()
        config = {
            "method": "sft",
            "base": str(base),
            "seed": 1,
            "threads": 1,
            "parent_pid": os.getpid(),
            "smoke_test": False,
        }
        if changes.pop("in_process", True):
            config["parent_pid"] = None
        (path / "config.json").write_text(json.dumps(config | {"hyperparameters": HYPERPARAMETERS | changes}))
        write_rows(path / "train.jsonl", ROWS)
        write_rows(path / "valid.jsonl", ROWS[:1])
        write_rows(path / "replay.jsonl", [{"messages": [user(text)]} for text in ("is", "the mat", "ran")])
        return path

    return make


def events(run):
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def losses(run):
    return {e["data"]["step"]: e["data"]["loss"] for e in events(run) if e["code"] == "metrics"}


def test_a_run_learns_tells_about_it_and_leaves_a_model(make_run):
    run = make_run("run")
    assert sft.main([str(run)]) == 0
    result = json.loads((run / "result.json").read_text())
    codes = [event["code"] for event in events(run)]
    assert result["status"] == "succeeded"
    assert (result["n_train"], result["n_valid"]) == (3, 1)
    assert result["n_steps"] == len(losses(run)) == codes.count("metrics")
    assert losses(run)[result["n_steps"]] < losses(run)[1]
    assert result["valid_loss"] > 0
    metrics = [event["data"] for event in events(run) if event["code"] == "metrics"]
    assert metrics[0]["n_examples"] == 2  # the batch size
    assert metrics[-1]["n_examples"] == 2 * 6 + 3  # sights of two corrections and of a demonstration
    assert metrics[-1]["n_tokens"] == result["n_tokens"]
    assert all({"token_accuracy", "sequence_accuracy"} <= set(m) for m in metrics)
    measured = [m["valid_loss"] for m in metrics if "valid_loss" in m]
    assert len(measured) >= 3
    assert result["valid_loss"] < measured[0]
    assert codes[0] == "started"
    assert codes[-2:] == ["merging", "finished"]
    assert [event["number"] for event in events(run)] == list(range(1, len(codes) + 1))
    assert (run / "adapter" / "adapter_model.safetensors").exists()
    model = AutoModelForCausalLM.from_pretrained(run / "model", dtype="auto")
    assert model.dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(run / "model").chat_template == build_tokenizer().chat_template


def test_a_killed_run_resumes_to_the_same_losses_and_weights(make_run):
    whole, killed = make_run("whole"), make_run("killed", in_process=False)
    assert sft.main([str(whole)]) == 0
    child = subprocess.Popen(
        [sys.executable, "-c", f"{KILL_AT_STEP_5}\nsys.exit(sft.main([{str(killed)!r}]))"], cwd=ROOT
    )
    assert child.wait() == -signal.SIGKILL
    before = losses(killed)
    assert max(before) == 5
    config = json.loads((killed / "config.json").read_text())
    (killed / "config.json").write_text(json.dumps(config | {"parent_pid": None}))
    assert sft.main([str(killed)]) == 0
    assert "resumed" in [event["code"] for event in events(killed)]
    assert losses(killed) == losses(whole)
    assert [event["number"] for event in events(killed)] == list(range(1, len(events(killed)) + 1))
    for name in ("adapter/adapter_model.safetensors", "model/model.safetensors"):
        ours, theirs = load_file(killed / name), load_file(whole / name)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


KILL_AT_STEP_5 = """
import os, signal, sys
from ml import sft
class Killer(sft.Reporter):
    def on_log(self, args, state, control, logs, **kwargs):
        super().on_log(args, state, control, logs, **kwargs)
        if state.global_step == 5:
            os.kill(os.getpid(), signal.SIGKILL)
sft.Reporter = Killer
"""

STOP_AT_STEP_2 = KILL_AT_STEP_5.replace("== 5", "== 2").replace("SIGKILL", "SIGTERM")


def test_sigterm_saves_the_step_and_leaves_with_143(make_run):
    run = make_run("run", in_process=False)
    child = subprocess.run(
        [sys.executable, "-c", f"{STOP_AT_STEP_2}\nsys.exit(sft.main([{str(run)!r}]))"], cwd=ROOT, check=False
    )
    assert child.returncode == rundir.EXIT_STOPPED
    assert not (run / "result.json").exists()
    codes = [event["code"] for event in events(run)]
    assert codes[-2:] == ["checkpoint", "stopped"]
    assert sft.last_checkpoint(run / "checkpoints").name == f"checkpoint-{max(losses(run))}"
    assert max(losses(run)) < 5


def test_a_run_whose_parent_is_gone_stops(make_run):
    run = make_run("run")
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"parent_pid": 1 if os.getppid() != 1 else 2}))
    command = [sys.executable, "-m", "ml", "sft", str(run)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == rundir.EXIT_STOPPED
    assert events(run)[-1]["code"] == "stopped"


def test_a_run_without_general_prompts_trains(make_run):
    run = make_run("run")
    (run / "replay.jsonl").unlink()
    assert sft.main([str(run)]) == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "x", "kind": "correction", "messages": [user("a")]}, "line 1"),
        ({"id": "x", "kind": "rumour", "messages": [user("a"), assistant("b")]}, "line 1"),
    ],
)
def test_bad_rows_fail_with_their_line(make_run, row, message, capsys):
    run = make_run("run")
    write_rows(run / "train.jsonl", [row])
    assert sft.main([str(run)]) == rundir.EXIT_DATA
    assert message in json.loads((run / "result.json").read_text())["error"]["message"]


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_step_learns_the_answers_and_their_end_tokens_alone(is_packed):
    """Examples, the wrong output of the correction, a loop, and a general prompt's answer: in this order.

    Each is learnt where it is answered; the loop is held to the reference in what precedes its end token.
    """
    tokenizer = build_tokenizer()
    hyperparameters, _ = resolve({"preference_weight": 1.0}, ROWS)
    replay = sft.encode_example(tokenizer, [user("is"), assistant("the capital")])
    loop = sft.encode_example(tokenizer, [user("is"), assistant("the the the")])
    material = sft.Material(
        rows=ROWS,
        tokenizer=tokenizer,
        replay=[replay],
        reference=[torch.zeros(sum(replay.mask), 32)],
        loops=[Encoded(ids=loop.ids, mask=[0] * (len(loop.ids) - 2) + [1, 1])],
        loop_reference=[torch.ones(2, 32)],
        hyperparameters=hyperparameters,
        seed=1,
        is_packed=is_packed,
    )
    examples = [Sight(row=0, wording=1), Sight(row=2, wording=0)]
    batch = material.collate(Step(epoch=1, examples=examples, replay=[0], loop=3))
    model = build_model(tokenizer)
    hidden, targets, rows = (sft.packed_hidden if is_packed else learnt_hidden)(model, batch)
    assert hidden.shape == (len(targets), 32)
    learnt = [tokenizer.decode(targets[rows == number]) for number in range(5)]
    examples_and_wrong = ["sat on the mat<|im_end|>", "is the capital<|im_end|>", "ran<|im_end|>"]
    assert learnt == [*examples_and_wrong, " the<|im_end|>", "the capital<|im_end|>"]
    assert batch["n_loops"] == 1
    assert batch["reference"][:, 0].tolist() == [1.0] + [0.0] * sum(replay.mask)
    assert batch["n_examples"] == 2
    assert batch["pairs"].tolist() == [0]


def test_packed_rows_train_as_padded_ones():
    tokenizer = build_tokenizer()
    model = build_model(tokenizer).double()
    rows = [sft.encode_example(tokenizer, row["messages"]) for row in ROWS]
    was = model.config._attn_implementation
    found = []
    for read, batch in ((learnt_hidden, collate(rows)), (sft.packed_hidden, vars(pack(rows, [1.0] * len(rows))))):
        hidden, _, _ = read(model, batch)
        hidden.square().sum().backward()
        found.append((hidden, model.model.layers[0].self_attn.k_proj.weight.grad.clone()))
        model.zero_grad()
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)
    assert model.config._attn_implementation == was


def test_a_model_whose_attention_has_a_term_of_its_own_is_padded():
    config = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "vocab_size": 64, "head_dim": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    assert not sft.can_pack(Gemma2ForCausalLM(Gemma2Config(**config, **heads)))
    assert sft.can_pack(LlamaForCausalLM(LlamaConfig(**config, **heads)))
