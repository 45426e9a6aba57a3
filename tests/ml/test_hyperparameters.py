from dataclasses import fields

import pytest

from ml.hyperparameters import BY_NAME, MULTIPLIER
from ml.plan import Hyperparameters, resolve


def test_the_table_and_the_plan_know_the_same_names():
    of_sft = {name for name, each in BY_NAME.items() if not each.methods or "sft" in each.methods}
    assert of_sft == {field.name for field in fields(Hyperparameters)} | {MULTIPLIER}


@pytest.mark.parametrize("rows", [[], [{"kind": "correction"}], [{"kind": "correction"}] * 50])
def test_auto_stays_inside_the_range_of_the_table(rows):
    values = resolve({}, rows)[0]
    assert all(BY_NAME[field.name].check(getattr(values, field.name)) != "auto" for field in fields(values))


@pytest.mark.parametrize(("given", "found"), [("3", 3), (3, 3), (" AUTO ", "auto"), ("", "auto"), (None, "auto")])
def test_a_value_is_a_number_or_auto(given, found):
    assert BY_NAME["n_epochs"].check(given) == found


@pytest.mark.parametrize("given", ["2.5", 0, 51, True, "lots", [3], float("nan")])
def test_what_is_no_number_in_the_range_is_refused(given):
    with pytest.raises(ValueError, match="n_epochs must be a whole number from 1 to 50"):
        BY_NAME["n_epochs"].check(given)
