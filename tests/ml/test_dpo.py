import json
import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from ml import dpo, rundir
from ml.dpo import Pair
from ml.generate import load_model
from ml.pair_plan import plan_order, resolve
from tests.ml.tiny import assistant, build_tokenizer, save_tiny, user
from training.states import MIN_PAIRS

# PEFT asks the model by a name that transformers is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
ROOT = Path(__file__).resolve().parents[2]
HYPERPARAMETERS = {"n_epochs": 3, "batch_size": 4, "lora_rank": 4, "learning_rate": 0.01}
QUESTIONS = ["the cat", "the dog", "what", "is the capital", "Be kind", "of France", "the mat", "and", "ran", "sat"]


def pair(number, question, chosen="sat on the mat", rejected="the dog ran"):
    messages = [user(question), assistant(chosen)]
    return {"id": f"p{number}", "kind": "pair", "messages": messages, "rejected": rejected, "is_new": True}


ROWS = [pair(number, question) for number, question in enumerate(QUESTIONS)]
DEMONSTRATION = {"id": "d", "kind": "demonstration", "messages": [user("what"), assistant("ran")], "rejected": None}


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

    def make(name, *, method="dpo", parent_pid=None, train=ROWS, tuning="auto", **changes):
        path = tmp_path / name
        path.mkdir()
        config = {
            "method": method,
            "base": str(base),
            "seed": 1,
            "threads": 1,
            "parent_pid": parent_pid,
            "smoke_test": False,
            "tuning": tuning,
        }
        (path / "config.json").write_text(json.dumps(config | {"hyperparameters": HYPERPARAMETERS | changes}))
        write_rows(path / "train.jsonl", train)
        write_rows(path / "valid.jsonl", [pair(20, "the dog sat"), pair(21, "the capital")])
        return path

    return make


def result(run):
    return json.loads((run / "result.json").read_text())


def events(run):
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def metrics(run):
    return {e["data"]["step"]: e["data"] for e in events(run) if e["code"] == "metrics"}


@pytest.mark.parametrize(("method", "tuning"), [("dpo", "auto"), ("sft_dpo", "lora"), ("dpo", "full")])
def test_a_run_prefers_the_chosen_answers_without_making_them_less_likely(make_run, method, tuning):
    run = make_run("run", method=method, tuning=tuning, train=[*ROWS, DEMONSTRATION])
    assert dpo.main([str(run)]) == 0
    found, codes = result(run), [event["code"] for event in events(run)]
    assert found["status"] == "succeeded"
    assert found["valid_margin"] > found["before"]["valid_margin"] + 1
    assert found["valid_loss"] < found["before"]["valid_loss"]
    assert (found["n_train"], found["n_valid"], found["n_steps"]) == (10, 2, 8)  # 30 sights by fours
    assert found["hyperparameters"]["sft_weight"] > 0 or method == "dpo"
    assert events(run)[0]["data"]["n_without_rejected"] == 1
    assert codes.count("metrics") == 8
    assert codes[-2:] == ["merging", "finished"]
    first, last = metrics(run)[1], metrics(run)[8]
    assert first["margin"] == pytest.approx(0, abs=1e-4)  # the reference is the model itself
    assert last["margin"] > 0.1
    assert last["reward_accuracy"] == 1
    assert last["n_tokens"] == found["n_tokens"]
    assert last["n_examples"] == 30
    assert sum("valid_margin" in data for data in metrics(run).values()) >= 3
    merged, _ = load_model(run / "model", device=dpo.Device("cpu", torch.float32))
    assert (run / "adapter" / "adapter_model.safetensors").exists() == (tuning != "full")
    assert found["tuning"] == ("full" if tuning == "full" else "lora")
    assert ("tuning" in found["auto"]) == (tuning == "auto")
    tokenizer = build_tokenizer()
    valid = dpo.encode_pair(tokenizer, pair(20, "the dog sat"), max_tokens=99)
    base, _ = load_model(run.parent / "base", device=dpo.Device("cpu", torch.float32))
    (before,), (after,) = dpo.pair_logprobs(base, [valid]), dpo.pair_logprobs(merged, [valid])
    assert after[0] - after[1] > before[0] - before[1]


def test_the_log_likelihoods_of_answers_that_share_a_prompt_are_those_of_whole_conversations(make_run):
    tokenizer = build_tokenizer()
    model, _ = load_model(make_run("run").parent / "base", device=dpo.Device("cpu", torch.float32))
    encoded = dpo.encode_pair(tokenizer, ROWS[0], max_tokens=99)
    (found,) = dpo.pair_logprobs(model, [encoded])
    for answer, value in zip((encoded.chosen, encoded.rejected), found, strict=True):
        ids = torch.tensor([encoded.prompt + answer])
        with torch.no_grad():
            logprobs = model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
        assert value == pytest.approx(float(logprobs[-len(answer) :].sum()), abs=1e-4)


def test_a_killed_run_resumes_to_the_same_losses_and_weights(make_run):
    whole, killed = make_run("whole"), make_run("killed", parent_pid=os.getpid())
    assert dpo.main([str(whole)]) == 0
    child = subprocess.Popen(
        [sys.executable, "-c", f"{KILL_AT_STEP_5}\nsys.exit(dpo.main([{str(killed)!r}]))"], cwd=ROOT
    )
    assert child.wait() == -signal.SIGKILL
    assert max(metrics(killed)) == 5
    config = json.loads((killed / "config.json").read_text())
    (killed / "config.json").write_text(json.dumps(config | {"parent_pid": None}))
    assert dpo.main([str(killed)]) == 0
    assert "resumed" in [event["code"] for event in events(killed)]
    for name in ("loss", "margin", "logprob_chosen"):
        assert {s: d[name] for s, d in metrics(killed).items()} == {s: d[name] for s, d in metrics(whole).items()}
    assert [event["number"] for event in events(killed)] == list(range(1, len(events(killed)) + 1))
    ours, theirs = (load_file(run / "model" / "model.safetensors") for run in (killed, whole))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


KILL_AT_STEP_5 = """
import os, signal, sys
from ml import dpo
class Killer(dpo.Reporter):
    def on_log(self, args, state, control, logs, **kwargs):
        super().on_log(args, state, control, logs, **kwargs)
        if state.global_step == 5:
            os.kill(os.getpid(), signal.SIGKILL)
dpo.Reporter = Killer
"""


def test_sigterm_saves_the_step_and_leaves_with_143(make_run, monkeypatch):
    run = make_run("run")

    class Terminator(dpo.Reporter):
        def on_log(self, args, state, control, logs, **kwargs):
            super().on_log(args, state, control, logs, **kwargs)
            if state.global_step == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(dpo, "Reporter", Terminator)
    assert dpo.main([str(run)]) == rundir.EXIT_STOPPED
    assert [event["code"] for event in events(run)][-2:] == ["checkpoint", "stopped"]
    assert not (run / "result.json").exists()


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (
            [*ROWS[:5], DEMONSTRATION],
            "at least 8 pairs of a chosen and a rejected answer to train on; here are 5 (1 row",
        ),
        (
            [*ROWS, pair(11, "what", chosen="ran", rejected="ran")],
            "line 11: The chosen and the rejected answer are the",
        ),
        ([{"id": "x", "rejected": "ran"}], "line 1: needs id and messages"),
        ([{"id": "x", "messages": [user("what")], "rejected": "ran"}], "line 1: The last message of an example"),
    ],
)
def test_rows_that_are_no_pairs_fail_with_a_sentence(make_run, train, message, capsys):
    run = make_run("run", train=train)
    assert dpo.main([str(run)]) == rundir.EXIT_DATA
    error = result(run)["error"]
    assert error["kind"] == "data"
    assert message in error["message"]


def test_exactly_the_two_answers_and_their_end_tokens_are_compared():
    tokenizer = build_tokenizer()
    row = pair(1, "the cat", chosen="sat <|im_end|> ran", rejected="the dog")
    row["messages"] = [user("what"), assistant("is"), *row["messages"]]
    found = dpo.encode_pair(tokenizer, row, max_tokens=999)
    assert tokenizer.decode(found.prompt).endswith(
        "is<|im_end|>\n<|im_start|>user\nthe cat<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.decode(found.chosen) == "sat <|im_end|> ran<|im_end|>"
    assert found.chosen.count(tokenizer.eos_token_id) == 1  # the one that the template writes
    assert tokenizer.decode(found.rejected) == "the dog<|im_end|>"
    collator = dpo.PairCollator([found], pad_token_id=tokenizer.pad_token_id)
    collator.reference = [(-1.0, -2.0)]
    batch = collator([{"pair": 0}])
    learnt = [
        tokenizer.decode(ids[mask.bool()])
        for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)
    ]
    assert learnt == ["sat <|im_end|> ran<|im_end|>", "the dog<|im_end|>"]
    assert (batch["ref_chosen_logps"].tolist(), batch["ref_rejected_logps"].tolist()) == ([-1.0], [-2.0])


def test_a_long_prompt_loses_its_beginning_and_a_long_answer_its_pair():
    tokenizer = build_tokenizer()
    whole = dpo.encode_pair(tokenizer, ROWS[0], max_tokens=999)
    n_answer = max(len(whole.chosen), len(whole.rejected))
    cut = dpo.encode_pair(tokenizer, ROWS[0], max_tokens=n_answer + 20)
    assert cut == Pair(whole.prompt[-20:], whole.chosen, whole.rejected)
    assert dpo.encode_pair(tokenizer, ROWS[0], max_tokens=n_answer + dpo.MIN_PROMPT_TOKENS - 1) is None


def test_what_is_told_of_pairs():
    """By tokens: -2 / 2 to -6 / 3 and -8 / 4 to -1 / 1, so margins 1 and -1; summed: 4 and -7."""
    pairs = [Pair([1], [1] * 2, [1] * 3), Pair([1], [1] * 4, [1])]
    assert dpo.summarise(pairs, [(-2.0, -6.0), (-8.0, -1.0)]) == {
        "valid_loss": 10 / 6,
        "valid_margin": -1.5,
        "valid_token_margin": 0.0,
        "valid_preferred": 0.5,
    }
    assert dpo.summarise([], []) == {}


@pytest.mark.parametrize(("tuning", "message"), [("qlora", "QLoRA needs a GPU"), ("partial", "no tuning 'partial'")])
def test_a_tuning_that_cannot_be_had_fails_with_a_sentence(make_run, tuning, message, capsys, monkeypatch):
    monkeypatch.setattr(dpo, "training_device", lambda run, threads: dpo.Device("cpu", torch.float32))
    run = make_run("run", tuning=tuning)
    assert dpo.main([str(run)]) == rundir.EXIT_DATA
    assert message in result(run)["error"]["message"]


def test_every_epoch_shows_each_pair_once():
    order = plan_order(5, n_epochs=3, rng=random.Random(1))
    epochs = [order[:5], order[5:10], order[10:]]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_auto_is_decided_by_the_method_and_the_pairs_and_said_why():
    alone, reasons = resolve({"beta": 0.3}, method="dpo", n_pairs=60)
    both, _ = resolve({}, method="sft_dpo", n_pairs=60)
    assert alone.beta == 0.3
    assert alone.sft_weight < both.sft_weight
    assert "beta" not in reasons
    assert set(reasons) == {
        "n_epochs",
        "batch_size",
        "learning_rate",
        "lora_rank",
        "sft_weight",
        "max_tokens",
        "patience",
    }
    few = [resolve({}, method="dpo", n_pairs=n)[0] for n in (8, 20, 47, 48, 5000)]
    assert [plan.n_epochs for plan in few] == [6, 5, 3, 2, 2]
    assert [plan.batch_size for plan in few] == [2, 2, 4, 4, 4]
    for bad in ({"beta": 0}, {"beta": math.nan}, {"sft_weight": -1}, {"replay_weight": 1}):
        with pytest.raises(dpo.DataError):
            resolve(bad, method="dpo", n_pairs=60)


def test_pages_and_trainer_ask_for_as_many_pairs():
    assert MIN_PAIRS == dpo.MIN_PAIRS


def test_the_model_folder_is_one_that_other_runs_can_begin_with(make_run):
    first = make_run("first", n_epochs=1)
    assert dpo.main([str(first)]) == 0
    second = make_run("second", n_epochs=1)
    config = json.loads((second / "config.json").read_text())
    (second / "config.json").write_text(json.dumps(config | {"base": str(first / "model")}))
    assert dpo.main([str(second)]) == 0
    assert result(second)["before"]["valid_margin"] == pytest.approx(result(first)["valid_margin"], abs=0.2)
    assert AutoModelForCausalLM.from_pretrained(second / "model", dtype="auto").dtype == torch.bfloat16
