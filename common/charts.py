"""Axes and bars as numbers that a template writes into SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 12, 28
WIDEST = 56  # of a bar


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Bar:
    """A rectangle; `name` and `value` are what its title says. `middle`, `low_y` and `high_y` draw an interval, where it has one."""

    x: float
    y: float
    width: float
    height: float
    name: str
    value: float
    middle: float
    low_y: float | None = None
    high_y: float | None = None


@dataclass(frozen=True)
class BarChart:
    bars: list[Bar]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


def bar_chart(
    values: Sequence[tuple[str, float]],
    *,
    n_labels: int = 8,
    is_whole: bool = True,
    intervals: Sequence[tuple[float, float] | None] = (),
) -> BarChart | None:
    """Return a bar for each (name, value), None where all are zero. At most `n_labels` names stand below the axis.

    `intervals` has (low, high) for each bar, or None for one without; `is_whole` says that the axis counts things.
    """
    if not any(value for _name, value in values):
        return None
    bounds = intervals or [None] * len(values)
    highest = max(pair[1] if pair else value for (_name, value), pair in zip(values, bounds, strict=True))
    y_values = ticks(highest, is_whole=is_whole)
    step = (WIDTH - LEFT - RIGHT) / len(values)
    wide = min(step * 0.7, WIDEST)
    tall = HEIGHT - BOTTOM - TOP

    def down(value: float) -> float:
        return round(HEIGHT - BOTTOM - tall * value / y_values[-1], 1)

    bars = [
        Bar(
            x=round(LEFT + step * (index + 0.5) - wide / 2, 1),
            y=down(value),
            width=round(wide, 1),
            height=round(HEIGHT - BOTTOM - down(value), 1),
            name=name,
            value=value,
            middle=round(LEFT + step * (index + 0.5), 1),
            low_y=down(pair[0]) if pair else None,
            high_y=down(pair[1]) if pair else None,
        )
        for index, ((name, value), pair) in enumerate(zip(values, bounds, strict=True))
    ]
    every = ceil(len(values) / n_labels)
    return BarChart(
        bars=bars,
        x_ticks=[Tick(bar.middle, bar.name) for index, bar in enumerate(bars) if (len(bars) - 1 - index) % every == 0],
        y_ticks=[Tick(down(value), f"{value:g}") for value in y_values],
    )


def ticks(highest: float, *, is_whole: bool = False) -> list[float]:
    """Return 0 and round steps up to at least `highest`: at most six of them."""
    if highest <= 0:
        return [0, 1]
    rough = highest / 5
    magnitude = 10 ** floor(log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough * (1 - 1e-9))
    if is_whole:
        step = max(1, ceil(step))
    return [round(index * step, 10) for index in range(ceil(highest / step - 1e-9) + 1)]
