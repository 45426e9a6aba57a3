import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.charts import ticks
from training.charts import HEIGHT, LEFT, MAX_POINTS, WIDTH, line_chart, thin
from training.templatetags.durations import duration


@pytest.mark.parametrize(
    ("highest", "is_whole", "expected"),
    [
        (10, False, [0, 2, 4, 6, 8, 10]),
        (3.2, False, [0, 1, 2, 3, 4]),
        (0.07, False, [0, 0.02, 0.04, 0.06, 0.08]),
        (3, True, [0, 1, 2, 3]),
        (0, False, [0, 1]),
    ],
)
def test_ticks_are_round_and_reach_the_highest_value(highest, is_whole, expected) -> None:
    assert ticks(highest, is_whole=is_whole) == expected


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_there_are_few_ticks_and_none_is_missing_at_the_top(highest: float) -> None:
    found = ticks(highest)
    assert 2 <= len(found) <= 7
    assert found[-1] >= highest * (1 - 1e-6)


def test_a_chart_places_its_points() -> None:
    chart = line_chart([("Training", [(0, 0), (10, 10)]), ("Validation", [])])
    assert [line.label for line in chart.lines] == ["Training"]
    assert chart.lines[0].points == f"{float(LEFT)},{float(chart.bottom)} {float(chart.right)},{float(chart.top)}"
    assert chart.x_ticks[0].at == LEFT
    assert chart.right < WIDTH
    assert chart.bottom < HEIGHT


def test_no_points_no_chart() -> None:
    assert line_chart([("Training", [])]) is None


def test_many_points_become_few_and_keep_the_end() -> None:
    points = [(float(n), float(n % 2)) for n in range(5000)]
    found = thin(points)
    assert len(found) <= MAX_POINTS
    assert found[-1] == points[-1]
    assert thin(points[:5]) == points[:5]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [("", "–"), (None, "–"), (0.4, "0 s"), (59.6, "1 min 0 s"), (75, "1 min 15 s"), (7384, "2 h 3 min")],
)
def test_durations_are_read_in_two_units(seconds, text) -> None:
    assert duration(seconds) == text
