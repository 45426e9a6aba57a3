import json
import os
import signal

import pytest

from ml import rundir
from ml.errors import DataError
from ml.evaluate import Case, chrf, judge, main, passes, repetition, summarise
from ml.generate import Answer
from tests.ml.tiny import assistant, save_tiny, user


def case(**changes):
    values = {
        "id": "c1",
        "probe": None,
        "prompt": [1],
        "chosen": "the cat sat",
        "rejected": "a dog ran off",
        "chosen_ids": [1],
        "rejected_ids": [2],
        "checks": [],
    }
    return Case(**(values | changes))


def verdict(text, *, chosen=-1.0, rejected=-2.0, **changes):
    answer = Answer(ids=[1, 2], is_stopped=True)
    return judge(case(**changes), answer=answer, text=text, logprob_chosen=chosen, logprob_rejected=rejected)


def test_right_needs_likelihood_likeness_and_checks():
    assert verdict("the cat sat")["right"]
    assert not verdict("the cat sat", chosen=-2.0, rejected=-1.0)["right"]
    assert not verdict("a dog ran off")["right"]
    assert not verdict("the cat sat", checks=[{"kind": "contains", "value": "mouse"}])["right"]
    assert verdict("the cat sat", checks=[{"kind": "contains", "value": "CAT"}])["right"]


def test_a_tie_is_not_right():
    assert not verdict("the cat sat", chosen=-1.0, rejected=-1.0)["right"]
    assert not verdict("")["right"]


def test_a_verdict_names_suite_and_probe():
    assert (verdict("x")["suite"], verdict("x")["probe"]) == ("regression", None)
    assert (verdict("x", probe=1)["suite"], verdict("x", probe=1)["probe"]) == ("probe", 1)


def test_chrf_is_100_for_the_same_text_and_less_for_another():
    assert chrf("the cat", "the cat") == pytest.approx(100)
    assert chrf("今天下雨", "今天下雪") > chrf("明天见", "今天下雪")


@pytest.mark.parametrize(
    ("kind", "value", "answer", "passed"),
    [
        ("contains", "Paris", "It is paris.", True),
        ("contains", "Paris", "It is Rome.", False),
        ("excludes", "sorry", "Sorry, no.", False),
        ("excludes", "sorry", "No.", True),
        ("matches", r"^\d{4}$", "2026", True),
        ("matches", r"^\d{4}$", "in 2026", False),
        ("max_words", 2, "two words", True),
        ("max_words", 2, "now three words", False),
        ("json", None, '{"a": 1}', True),
        ("json", None, "{a: 1}", False),
    ],
)
def test_checks(kind, value, answer, passed):
    assert passes({"kind": kind, "value": value}, answer) is passed


@pytest.mark.parametrize("check", [{"kind": "rhymes"}, {"kind": "matches", "value": "("}, {"kind": "max_words"}])
def test_checks_that_make_no_sense_are_refused(check):
    with pytest.raises(DataError):
        passes(check, "text")


def test_metrics_by_hand():
    """Losses are means over all tokens: (1.0 * 1 + 2.0 * 3) / 4 = 1.75."""
    rows = [
        {"suite": "regression", "right": True, "stopped": True},
        {"suite": "regression", "right": False, "stopped": True},
        {"suite": "probe", "right": True, "stopped": False},
        {"suite": "unrelated", "loss": 1.0, "n_tokens": 1},
        {"suite": "unrelated", "loss": 2.0, "n_tokens": 3},
    ]
    metrics = summarise(rows)
    assert (metrics["n_cases"], metrics["efficacy"]) == (2, 0.5)
    assert (metrics["n_probes"], metrics["generalisation"]) == (1, 1.0)
    assert metrics["stop_rate"] == pytest.approx(2 / 3)
    assert metrics["unrelated_loss"] == 1.75
    assert (metrics["held_out_loss"], metrics["n_held_out"]) == (None, 0)


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(autouse=True)
def _restored_signals():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def run(tmp_path):
    save_tiny(tmp_path / "tiny")
    path = tmp_path / "run"
    path.mkdir()
    config = {"model": str(tmp_path / "tiny"), "threads": 1, "parent_pid": os.getppid(), "max_tokens": 12}
    (path / "config.json").write_text(json.dumps(config))
    test = {"id": "c1", "messages": [user("the cat")], "chosen": "sat", "rejected": "ran", "checks": []}
    write_rows(path / "tests.jsonl", [test | {"probes": [[user("a cat")], [user("cat?")]]}])
    write_rows(path / "unrelated.jsonl", [{"id": "u1", "messages": [user("the dog"), assistant("ran")]}])
    return path


def results(run):
    lines = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    return {(line["suite"], line["id"], line.get("probe")): line for line in lines}


def test_every_prompt_gets_a_line_and_the_result_counts_them(run):
    assert main([str(run)]) == 0
    result = json.loads((run / "result.json").read_text())
    assert set(results(run)) == {
        ("regression", "c1", None),
        ("probe", "c1", 0),
        ("probe", "c1", 1),
        ("unrelated", "u1", None),
    }
    assert result["status"] == "succeeded"
    assert (result["metrics"]["n_cases"], result["metrics"]["n_probes"], result["metrics"]["n_unrelated"]) == (1, 2, 1)
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    assert [events[0]["code"], events[-1]["code"]] == ["started", "finished"]


def test_a_killed_evaluation_goes_on_with_what_is_missing(run):
    main([str(run)])
    whole = (run / "results.jsonl").read_bytes().splitlines(keepends=True)
    marked = json.dumps(json.loads(whole[0]) | {"loss": 123.0}).encode() + b"\n"
    (run / "results.jsonl").write_bytes(marked + whole[1] + whole[2][:20])  # the third line is torn
    (run / "result.json").unlink()
    assert main([str(run)]) == 0
    assert len(results(run)) == len(whole)
    assert results(run)["unrelated", "u1", None]["loss"] == 123.0  # what was known is not measured again


def test_probes_are_left_out_on_request(run):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"probes": False}))
    assert main([str(run)]) == 0
    assert json.loads((run / "result.json").read_text())["metrics"]["n_probes"] == 0


def test_the_same_weights_are_not_asked_twice(run, tmp_path, monkeypatch):
    config = json.loads((run / "config.json").read_text()) | {"cache": str(tmp_path / "answers"), "samples": 1}
    (run / "config.json").write_text(json.dumps(config))
    assert main([str(run)]) == 0
    first, metrics = results(run), json.loads((run / "result.json").read_text())["metrics"]
    for name in ("results.jsonl", "result.json", "events.jsonl"):
        (run / name).unlink()
    monkeypatch.setattr("ml.evaluate.load_model", None)  # whoever loads the model fails
    assert main([str(run)]) == 0
    again = json.loads((run / "result.json").read_text())
    assert (results(run), again["metrics"], again["n_cached"]) == (first, metrics, 4)
    (tmp_path / "tiny" / "generation_config.json").write_text('{"eos_token_id": 0}')
    for name in ("results.jsonl", "result.json"):
        (run / name).unlink()
    assert main([str(run)]) != 0  # other files are another model


def test_gold_tasks_are_right_by_their_checks_and_may_have_no_answer(run):
    check = {"kind": "max_words", "value": 99}
    rows = [{"id": "g1", "messages": [user("the cat")], "chosen": "", "rejected": "", "checks": [check]}]
    rows += [{"id": "g2", "messages": [user("a dog")], "chosen": "ran", "rejected": "", "checks": []}]
    write_rows(run / "gold.jsonl", rows)
    assert main([str(run)]) == 0
    found = results(run)
    assert (found["gold", "g1", None]["right"], found["gold", "g2", None]["right"]) == (True, None)
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    assert (metrics["n_gold"], metrics["gold_right"], metrics["n_cases"]) == (2, 1.0, 1)
    assert metrics["gold_chrf"] is not None


@pytest.mark.parametrize(
    ("text", "share"), [("", 0.0), ("one two three", 0.0), ("a b c d a b c d a b c d", 5 / 9), ("啊啊啊啊啊啊", 2 / 3)]
)
def test_repetition(text, share):
    assert repetition(text) == pytest.approx(share)


def test_a_bad_test_fails_with_its_line(run, capsys):
    write_rows(run / "tests.jsonl", [{"id": "c1", "messages": [user("a")], "chosen": "b"}])
    assert main([str(run)]) == rundir.EXIT_DATA
    error = json.loads((run / "result.json").read_text())["error"]
    assert error["kind"] == "data"
    assert "line 1" in error["message"]
    assert "rejected" in error["message"]
