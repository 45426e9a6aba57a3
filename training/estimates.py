"""How long a job will take, told from former ones: a line where there are enough of them, else a ratio, always with an interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

# Student's t for an interval that holds nine times of ten, by degrees of freedom.
T_90 = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83, 1.81)
T_MANY = 1.7
ONE_RUN_FACTOR = 2.0
LEAST_FACTOR, MOST_FACTOR = 1.1, 4.0
ENOUGH_FOR_A_LINE = 4
# The longest run must have this many times the tokens of the shortest one, or a line is a guess.
SPREAD = 2.0


@dataclass(frozen=True)
class Run:
    """A former run: its tokens, and how long it took."""

    n_tokens: float
    duration_s: float


@dataclass(frozen=True)
class Interval:
    """A number of seconds, and between which it lies nine times of ten."""

    seconds: float
    low_s: float
    high_s: float

    def times(self, factor: float) -> "Interval":
        return Interval(self.seconds * factor, self.low_s * factor, self.high_s * factor)

    def wider(self, factor: float) -> "Interval":
        return Interval(self.seconds, self.low_s / factor, self.high_s * factor)


def estimate_seconds(n_tokens: float, runs: Sequence[Run]) -> Interval | None:
    """Return how long so many tokens will take; None without a former run."""
    runs = [run for run in runs if run.n_tokens > 0 and run.duration_s > 0]
    if not runs or n_tokens <= 0:
        return None
    return _by_line(n_tokens, runs) or _by_ratio(n_tokens, runs)


def _by_line(x: float, runs: Sequence[Run]) -> Interval | None:
    """Least squares of seconds on tokens, with the interval of a single prediction."""
    n = len(runs)
    if n < ENOUGH_FOR_A_LINE or max(run.n_tokens for run in runs) < SPREAD * min(run.n_tokens for run in runs):
        return None
    mean_x = sum(run.n_tokens for run in runs) / n
    mean_y = sum(run.duration_s for run in runs) / n
    spread = sum((run.n_tokens - mean_x) ** 2 for run in runs)
    slope = sum((run.n_tokens - mean_x) * (run.duration_s - mean_y) for run in runs) / spread
    start = mean_y - slope * mean_x
    if slope <= 0 or start < 0:
        return None
    squares = sum((run.duration_s - start - slope * run.n_tokens) ** 2 for run in runs)
    half = _t(n - 2) * sqrt(squares / (n - 2)) * sqrt(1 + 1 / n + (x - mean_x) ** 2 / spread)
    seconds = start + slope * x
    low = min(max(seconds - half, seconds / MOST_FACTOR), seconds / LEAST_FACTOR)
    return Interval(seconds, low, max(seconds + half, seconds * LEAST_FACTOR))


def _by_ratio(x: float, runs: Sequence[Run]) -> Interval:
    """The geometric mean of seconds per token."""
    n = len(runs)
    logs = [log(run.duration_s / run.n_tokens) for run in runs]
    mean = sum(logs) / n
    if n == 1:
        factor = ONE_RUN_FACTOR
    else:
        deviation = sqrt(sum((each - mean) ** 2 for each in logs) / (n - 1))
        half = _t(n - 1) * deviation * sqrt(1 + 1 / n)
        factor = exp(min(max(half, log(LEAST_FACTOR)), log(MOST_FACTOR)))
    seconds = x * exp(mean)
    return Interval(seconds, seconds / factor, seconds * factor)


def _t(degrees: int) -> float:
    return T_90[degrees - 1] if degrees <= len(T_90) else T_MANY
