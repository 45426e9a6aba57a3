"""When cycles start by themselves, and what they learn."""

from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from deployment.actions.policy import FIELDS
from deployment.models import CyclePolicy
from deployment.queries.policy import next_time
from labeling.models import Project
from training.models import DatasetVersion, Preset

GROUPS = (
    ("when", _("When"), ("at_count", "cron", "on_alert", "at_least", "per_month")),
    ("what", _("What is learnt, also in cycles that somebody starts"), ("rules_of", "preset", "measures_replay")),
    ("cost", _("What it may cost"), ("price_per_cycle", "price_per_month")),
    ("reach", _("How far"), ("reach", "canary_percent")),
)


class CyclePolicyForm(forms.ModelForm):
    """When cycles start by themselves, what they learn and how far they go."""

    class Meta:
        model = CyclePolicy
        fields = FIELDS
        labels = {
            "at_count": _("Start when so many examples are new"),
            "cron": _("Start by schedule"),
            "on_alert": _("Start when an alert is open"),
            "at_least": _("The schedule and an alert want so many new examples"),
            "per_month": _("At most so many in thirty days"),
            "price_per_cycle": _("Most that a cycle may cost"),
            "price_per_month": _("Most that the cycles of thirty days may cost"),
            "rules_of": _("Learn what the rules of this dataset version take"),
            "preset": _("Train by this preset"),
            "measures_replay": _("Let the drift of former cycles set the weight of the replay"),
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
            "price_per_cycle": _(
                "In the currency of the catalog's prices. What will cost more is not started; without a price of the base model nothing costs. Empty: any price."
            ),
            "price_per_month": _("Cycles that somebody starts count too, but are never skipped. Empty: any price."),
            "rules_of": _(
                "Compose a version by its rules once; each cycle, also one that somebody starts, then takes what these rules take by then."
            ),
            "preset": _("Method, weights and hyperparameters, for each cycle."),
            "measures_replay": _(
                "It doubles after a cycle that used up half of what the gate allows the drift since the base model, and halves again where next to nothing was used. Only for up to 500 rows, and where the preset does not set it."
            ),
            "canary_percent": _("Where a cycle goes up to a canary."),
        }

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["rules_of"].queryset = project.dataset_versions.own().order_by("-number")  # type: ignore[attr-defined]
        self.fields["preset"].queryset = Preset.objects.filter(project=project)  # type: ignore[attr-defined]
        self.fields["rules_of"].empty_label = _("All accepted examples")  # type: ignore[attr-defined]
        self.fields["preset"].empty_label = _("None: everything is chosen by itself")  # type: ignore[attr-defined]
        self.fields["rules_of"].label_from_instance = _rules_name  # type: ignore[attr-defined]
        for name, most in (
            ("at_count", 1_000_000),
            ("at_least", 1_000_000),
            ("per_month", 1000),
            ("canary_percent", 99),
        ):
            self.fields[name].validators += [MinValueValidator(1), MaxValueValidator(most)]
            self.fields[name].widget.attrs |= {"min": 1, "max": most, "class": "input--short"}
        for name in ("price_per_cycle", "price_per_month"):
            self.fields[name].widget.attrs |= {"min": "0.01", "step": "0.01", "class": "input--short"}
        for name in ("at_count", "per_month", "price_per_cycle", "price_per_month", "rules_of", "preset"):
            self.fields[name].required = False
        self.fields["cron"].widget.attrs |= {"placeholder": "0 3 * * 1", "spellcheck": "false", "dir": "ltr"}

    def groups(self) -> list[tuple[str, Any, list[forms.BoundField]]]:
        """Return (key, title, fields) of each group, in the order of the page."""
        return [(key, title, [self[name] for name in names]) for key, title, names in GROUPS]

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


def _rules_name(version: DatasetVersion) -> str:
    note = f" · {version.note}" if version.note else ""
    return f"{version}{note}" if version.composition else _("%(version)s: all accepted examples") % {"version": version}
