"""When cycles start by themselves."""

from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from deployment.models import CyclePolicy
from deployment.queries.policy import next_time


class CyclePolicyForm(forms.ModelForm):
    """When cycles start by themselves, and how far they go."""

    class Meta:
        model = CyclePolicy
        fields = ["at_count", "cron", "on_alert", "at_least", "per_month", "reach", "canary_percent"]
        labels = {
            "at_count": _("Start when so many examples are new"),
            "cron": _("Start by schedule"),
            "on_alert": _("Start when an alert is open"),
            "at_least": _("The schedule and an alert want so many new examples"),
            "per_month": _("At most so many in thirty days"),
            "reach": _("How far by itself"),
            "canary_percent": _("Share of a canary, in percent"),
        }
        help_texts = {
            "at_count": _("Accepted since the last dataset version. Empty: no number starts a cycle."),
            "cron": _(
                "Minute, hour, day, month, weekday. “0 3 * * *” is every day at three, “0 3 * * 1” Mondays at three. Empty: no schedule."
            ),
            "on_alert": _("As soon as enough was corrected or written since it began; once for each alert."),
            "at_least": _("With fewer the cycle is skipped, and the list of cycles says so."),
            "per_month": _("Counted are those that start by themselves. Empty: any number."),
            "canary_percent": _("Where a cycle goes up to a canary."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, most in (
            ("at_count", 1_000_000),
            ("at_least", 1_000_000),
            ("per_month", 1000),
            ("canary_percent", 99),
        ):
            self.fields[name].validators += [MinValueValidator(1), MaxValueValidator(most)]
            self.fields[name].widget.attrs |= {"min": 1, "max": most, "class": "input--short"}
        self.fields["at_count"].required = self.fields["per_month"].required = False
        self.fields["cron"].widget.attrs |= {"placeholder": "0 3 * * 1", "spellcheck": "false", "dir": "ltr"}

    def clean_cron(self) -> str:
        cron = " ".join(self.cleaned_data["cron"].split())
        if cron:
            try:
                next_time(cron, after=timezone.now())
            except ValueError:
                raise forms.ValidationError(
                    _("This is no schedule of five parts: minute, hour, day, month, weekday.")
                ) from None
        return cron
