"""How many of the last conversations went wrong, in the sense of each measure, and how an alert says it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, CharField, Count, F, Q, Value, When
from django.db.models.functions import Cast, Concat
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from deployment.models import Alert, AlertRule, Completion, Deployment
from deployment.queries.release import FOUND_WRONG
from deployment.states import ALERTS_OF_THE_MODEL, AlertMeasure, CompletionState
from training.intervals import rate_interval

CONFIDENCE = 0.99  # of the interval whose lower end has to be above the limit: rules are looked at again and again
# An answer that was cut off after fewer tokens was asked to be so short.
FEWEST_TOKENS_OF_A_CUT = 128
# The first answer's conversation where it is known, else the answer by itself.
CONVERSATION = Case(
    When(thread="", then=Concat(Value("#"), Cast("pk", CharField()))), default=F("thread"), output_field=CharField()
)


@dataclass(frozen=True)
class Standing:
    """`n_bad` of the last `n` conversations."""

    n: int
    n_bad: int

    @property
    def share(self) -> float:
        return self.n_bad / self.n if self.n else 0.0

    @property
    def surely(self) -> float:
        """The lower end of the share's interval: it is above this beyond doubt."""
        return rate_interval(self.n_bad, self.n, confidence=CONFIDENCE).low if self.n else 0.0


def standing(rule: AlertRule, deployment: Deployment, now: datetime) -> Standing:
    """Count the conversations of the rule's window. Bad answers and such without an end are the live model's only; errors and
    slow answers are whatever people met."""
    rows = Completion.objects.filter(
        project=deployment.project_id, deployment=deployment, created_at__gt=now - timedelta(minutes=rule.window)
    ).exclude(state=CompletionState.STREAMING)
    if rule.measure in ALERTS_OF_THE_MODEL:
        rows = rows.filter(tuned_model=deployment.live_model_id)
    counts = rows.annotate(unit=CONVERSATION).aggregate(
        n=Count("unit", distinct=True), n_bad=Count("unit", distinct=True, filter=_fault(rule))
    )
    return Standing(counts["n"], counts["n_bad"])


def _fault(rule: AlertRule) -> Q:
    match rule.measure:
        case AlertMeasure.BAD:
            return FOUND_WRONG
        case AlertMeasure.FAILED:
            return Q(state=CompletionState.FAILED)
        case AlertMeasure.SLOW:
            return Q(time_to_first_token_s__gt=rule.seconds)
    return Q(finish_reason="length", n_completion_tokens__gte=FEWEST_TOKENS_OF_A_CUT)


def say_alert(alert: Alert) -> str:
    """Return what is wrong in a sentence."""
    numbers = {"bad": alert.n_bad, "n": alert.n, "limit": f"{alert.threshold:g}"}
    match alert.measure:
        case AlertMeasure.BAD:
            text = ngettext(
                "An answer was found wrong in %(bad)d of %(n)d conversation; the limit is %(limit)s %%.",
                "An answer was found wrong in %(bad)d of %(n)d conversations; the limit is %(limit)s %%.",
                alert.n,
            )
        case AlertMeasure.FAILED:
            text = ngettext(
                "%(bad)d of %(n)d conversation met an error; the limit is %(limit)s %%.",
                "%(bad)d of %(n)d conversations met an error; the limit is %(limit)s %%.",
                alert.n,
            )
        case AlertMeasure.SLOW:
            text = ngettext(
                "%(bad)d of %(n)d conversation waited too long for the first word; the limit is %(limit)s %%.",
                "%(bad)d of %(n)d conversations waited too long for the first word; the limit is %(limit)s %%.",
                alert.n,
            )
        case _measure:
            text = ngettext(
                "%(bad)d of %(n)d conversation had an answer without an end; the limit is %(limit)s %%.",
                "%(bad)d of %(n)d conversations had an answer without an end; the limit is %(limit)s %%.",
                alert.n,
            )
    return text % numbers


def title_of(alert: Alert) -> str:
    """Return the subject of a mail."""
    names = {"what": alert.get_measure_display(), "project": alert.project.name}
    if alert.ended_at:
        return _("Over: %(what)s in %(project)s") % names
    return _("Alert: %(what)s in %(project)s") % names
