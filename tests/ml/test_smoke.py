import json
import math
import signal

import pytest

from ml import rundir, sft
from ml.smoke import Prompt, Sample, judge, loops
from tests.ml.test_many_rows import ROWS
from tests.ml.tiny import save_tiny

# PEFT asks the model by a name that transformers is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
PROMPT = Prompt(text="what is it", ids=[1, 2], right_text="the cat", right_ids=[3, 4, 0])


@pytest.fixture(autouse=True)
def _restored_signals():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def sample(text="the cat", ids=(3, 4), *, stopped=True, far_by=0.2):
    return Sample(prompt=PROMPT, text=text, ids=list(ids), is_stopped=stopped, far_by=far_by)


@pytest.mark.parametrize(
    ("ids", "is_loop"),
    [
        ([1, 2, 3] * 10, True),
        ([9] * 25, True),
        ([9] * 15, False),  # a row of dashes
        (list(range(60)), False),
        ([1, 2, 3] * 10 + [4], False),
        ([5, *range(12)] + list(range(12)) * 4, True),
    ],
)
def test_an_answer_loops_when_its_end_is_the_same_again_and_again(ids, is_loop):
    assert loops(ids) == is_loop


def test_an_answer_is_empty_far_or_loops_or_is_sound():
    assert sample().problem is None
    assert sample(stopped=False).problem is None  # cut off
    assert sample(text=" \n", ids=(), far_by=None).problem == "empty"
    assert sample(far_by=4.0).problem == "far"
    assert sample(ids=[1] * 30, stopped=False).problem == "loops"
    assert sample(ids=[1] * 30).problem is None  # it has ended all the same


def test_a_model_is_broken_only_when_hardly_anything_is_sound():
    good, bad = sample(), sample(far_by=9.0)
    losses = {"loss": 2.0, "loss_before": 2.5, "end_chance": 0.9}
    assert judge([good, bad, bad, bad], **losses) is None
    assert judge([good, bad, bad, bad, bad], **losses) == "garbage"
    assert judge([good, bad, bad], **losses | {"loss": 4.1}) == "lost"
    assert judge([good, bad], **losses | {"loss": 4.1}) is None  # it answers otherwise, but it answers
    assert judge([good], **losses | {"loss": math.nan}) == "lost"
    cut_off = sample(stopped=False)
    assert judge([cut_off] * 6, **losses) is None
    assert judge([cut_off] * 6, **losses | {"end_chance": 0.001}) == "endless"
    assert judge([cut_off] * 5 + [good], **losses | {"end_chance": 0.001}) is None


def test_a_model_that_learnt_its_rows_passes_and_one_that_was_blown_up_does_not(tmp_path, capsys):
    base = save_tiny(tmp_path / "base")
    outcomes = {}
    for name in ("good", "broken"):
        run = tmp_path / name
        run.mkdir()
        config = {
            "method": "sft",
            "recipe": "many_rows",
            "base": str(base),
            "seed": 1,
            "threads": 1,
            "parent_pid": None,
        }
        config["tuning"] = "full" if name == "good" else "lora"
        hyperparameters = {"n_epochs": 40, "batch_size": 5, "learning_rate": 0.01}
        if name == "broken":
            hyperparameters |= {"n_epochs": 8, "learning_rate": 0.1, "learning_rate_multiplier": 100}
        (run / "config.json").write_text(json.dumps(config | {"hyperparameters": hyperparameters}))
        (run / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        code = sft.main([str(run)])
        result = json.loads((run / "result.json").read_text())
        event = next(
            json.loads(line)["data"]
            for line in (run / "events.jsonl").read_text().splitlines()
            if '"smoke_test"' in line.split('"data"')[0]
        )
        outcomes[name] = (code, result, event)
    code, result, event = outcomes["good"]
    assert code == 0, result
    assert result["smoke_test"]["problem"] is None
    assert event["split"] == "train"
    assert len(event["samples"]) == len(ROWS)
    code, result, event = outcomes["broken"]
    assert code == rundir.EXIT_FAILED
    assert result["error"]["kind"] == "model"
    assert event["problem"] in ("lost", "garbage")
    assert any(sample["problem"] for sample in event["samples"]) or event["problem"] == "lost"
