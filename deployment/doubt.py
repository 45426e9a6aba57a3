"""When a model is worse beyond doubt: evidence that may be looked at at any time, as often as one likes.

Evidence here is an e-value: under "no worse than the other" it is a non-negative supermartingale that begins at 1, so that
by Ville's inequality (Étude critique de la notion de collectif, 1939) it *ever* reaches 1/alpha with a probability of
alpha at most, whenever and however often somebody looks. No schedule of looks and no spending of alpha is needed.

Both tests are Wald's sequential likelihood ratio (Sequential Analysis, 1947), one-sided, averaged over several sizes of
the difference: an average of supermartingales is one.
"""

import math
from collections.abc import Iterable, Sequence

ALPHA = 0.001
TIMES_WORSE = (1.5, 2.0, 3.0, 5.0, 10.0, 50.0)
CERTAIN = 0.99


def evidence_by_share(bad: Iterable[tuple[bool, float]]) -> float:
    """Return the evidence that the canary is worse, from the bad conversations of both models alone.

    Each is given as whether it was the canary's and which share of the conversations the canary had then. Were the canary
    no worse, each bad conversation would be the canary's with the probability of that share, since a hash decided; were it
    r times as bad, with r·q / (r·q + 1 - q). This is the binomial test of vaccine safety surveillance (Kulldorff et al.,
    A Maximized Sequential Probability Ratio Test, Sequential Analysis 30, 2011), with an average in place of the maximum.
    Troubles that befall both models, however clustered, leave it at rest.
    """
    logs = [0.0] * len(TIMES_WORSE)
    for is_canarys, share in bad:
        for i, times in enumerate(TIMES_WORSE):
            likely = times * share / (times * share + 1 - share)
            logs[i] += math.log(likely / share) if is_canarys else math.log((1 - likely) / (1 - share))
    return _mean_of_logs(logs)


def evidence_against_rate(n_bad: int, n: int, *, rate: float) -> float:
    """Return the evidence that more than `rate` of all conversations are bad, of which `n_bad` of `n` were so far."""
    rate = max(rate, 1e-6)
    logs = []
    for times in TIMES_WORSE:
        likely = min(times * rate, CERTAIN)
        if likely <= rate:
            continue
        logs.append(n_bad * math.log(likely / rate) + (n - n_bad) * math.log((1 - likely) / (1 - rate)))
    return _mean_of_logs(logs) if logs else 0.0


def highest_rate(n_bad: int, n: int, *, alpha: float) -> float:
    """Return the rate that is exceeded with a confidence of `alpha` only: the one-sided exact bound of Clopper and Pearson
    (Biometrika 26, 1934), by bisection on the binomial distribution."""
    if n_bad >= n:
        return 1.0
    low, high = n_bad / n, 1.0
    for _step in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(n_bad, n, middle) > alpha else (low, middle)
    return high


def _at_most(k: int, n: int, rate: float) -> float:
    """Return the probability of at most `k` of `n`."""
    log_n = math.lgamma(n + 1)
    terms = (
        log_n - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(rate) + (n - i) * math.log1p(-rate)
        for i in range(k + 1)
    )
    return math.fsum(math.exp(term) for term in terms)


def _mean_of_logs(logs: Sequence[float]) -> float:
    """Return the mean of the exponentials, which is infinite where it is too large for a float."""
    top = max(logs)
    if top > 700:
        return math.inf
    return math.fsum(math.exp(each) for each in logs) / len(logs)
