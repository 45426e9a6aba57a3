"""Charts as numbers that a template writes into SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from common.charts import Tick, ticks

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 16, 44
MAX_POINTS = 240


@dataclass(frozen=True)
class Line:
    """`points` is the value of an SVG polyline; `last` is where it ends."""

    label: str
    points: str
    last: tuple[float, float]
    n_points: int


@dataclass(frozen=True)
class Chart:
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def line_chart(series: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> Chart | None:
    """Return a chart of labelled series of (x, y), None where there is no point. Both axes begin at zero."""
    drawn = [(label, thin(points)) for label, points in series if points]
    if not drawn:
        return None
    x_values = ticks(max(x for _label, points in drawn for x, _y in points), is_whole=True)
    y_values = ticks(max(y for _label, points in drawn for _x, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * x / x_values[-1]
        down = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / y_values[-1]
        return round(across, 1), round(down, 1)

    lines = []
    for label, points in drawn:
        places = [place(x, y) for x, y in points]
        lines.append(Line(label, " ".join(f"{x},{y}" for x, y in places), places[-1], len(places)))
    return Chart(
        lines=lines,
        x_ticks=[Tick(place(value, 0)[0], f"{value:g}") for value in x_values],
        y_ticks=[Tick(place(0, value)[1], f"{value:g}") for value in y_values],
    )


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most MAX_POINTS points: means of equal stretches, and the last point as it is."""
    if len(points) <= MAX_POINTS:
        return list(points)
    size = ceil(len(points) / (MAX_POINTS - 1))
    stretches = [points[start : start + size] for start in range(0, len(points), size)]
    return [(s[-1][0], sum(y for _x, y in s) / len(s)) for s in stretches] + [points[-1]]
