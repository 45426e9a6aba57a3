from collections import Counter

import pytest

from ml.errors import DataError
from ml.plan import plan_steps, resolve

CORRECTIONS = [{"id": f"c{i}", "kind": "correction"} for i in range(6)]
DEMONSTRATIONS = [{"id": f"d{i}", "kind": "demonstration"} for i in range(5)]
ROWS = CORRECTIONS + DEMONSTRATIONS


def plan(rows=ROWS, n_replay=7, seed=1, **configured):
    given = {"n_epochs": 4, "demonstration_epochs": 2, "batch_size": 4, "replay_batch_size": 3, "reword_share": 0.5}
    return plan_steps(rows, n_replay=n_replay, hyperparameters=resolve(given | configured, rows)[0], seed=seed)


def test_auto_is_resolved_with_a_reason_and_a_given_value_is_kept():
    hyperparameters, reasons = resolve({"n_epochs": 3, "learning_rate": "auto"}, ROWS)
    assert hyperparameters.n_epochs == 3
    assert "n_epochs" not in reasons
    assert reasons["learning_rate"]


def test_a_multiplier_scales_the_learning_rate():
    automatic = resolve({}, ROWS)[0].learning_rate
    assert resolve({"learning_rate_multiplier": 0.5}, ROWS)[0].learning_rate == automatic / 2
    assert resolve({"learning_rate_multiplier": 2, "learning_rate": 0.1}, ROWS)[0].learning_rate == 0.2
    assert resolve({"learning_rate_multiplier": "auto"}, ROWS)[0].learning_rate == automatic
    with pytest.raises(DataError):
        resolve({"learning_rate_multiplier": 0}, ROWS)


@pytest.mark.parametrize("configured", [{"epochs": 3}, {"n_epochs": "many"}, {"n_epochs": -1}, {"n_epochs": True}])
def test_nonsense_is_refused(configured):
    with pytest.raises(DataError):
        resolve(configured, ROWS)


def test_every_correction_is_seen_each_epoch_and_demonstrations_less_often():
    sights = Counter(sight.row for step in plan() for sight in step.examples)
    assert sights == {**dict.fromkeys(range(6), 4), **dict.fromkeys(range(6, 11), 2)}


def test_half_of_a_corrections_sights_are_reworded_but_never_the_first():
    wordings = {row: [] for row in range(len(ROWS))}
    for step in plan():
        for sight in step.examples:
            wordings[sight.row].append(sight.wording)
    assert all(sorted(wordings[row]) == [0, 0, 1, 2] for row in range(6))
    assert all(wordings[row][0] == 0 for row in range(6))
    assert all(wordings[row] == [0, 0] for row in range(6, 11))


def test_general_prompts_all_appear_before_one_comes_again():
    order = [index for step in plan() for index in step.replay]
    assert len(order) >= 14
    assert sorted(order[:7]) == sorted(order[7:14]) == list(range(7))


def test_a_run_without_general_prompts_replays_nothing():
    assert all(step.replay == [] for step in plan(n_replay=0))


def test_the_plan_follows_from_the_seed():
    assert plan() == plan()
    assert plan() != plan(seed=2)
    assert plan()[-1].epoch == 4


def test_a_continued_run_shows_known_rows_less_often():
    rows = [{**row, "is_new": number % 2 == 0} for number, row in enumerate(CORRECTIONS)]
    hyperparameters = resolve({"n_epochs": 12}, rows)[0]
    steps = plan_steps(rows, n_replay=7, hyperparameters=hyperparameters, seed=1, is_continued=True)
    sights = Counter(sight.row for step in steps for sight in step.examples)
    assert sights == {row: 12 if row % 2 == 0 else 3 for row in range(6)}
