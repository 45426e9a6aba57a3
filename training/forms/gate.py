"""The limits of a project's gate, as percentages and counts."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from training.states import GATE_CEILINGS, GATE_DEFAULTS, GateRule

COUNTS = (GateRule.FORGOTTEN,)
HINTS = {
    GateRule.NOT_LOWER: _("Percentage points; below 0 lets a candidate be a little worse."),
    GateRule.FORGOTTEN: _("How many may be. What people were told is fixed ought to stay fixed."),
    GateRule.GENERALISATION: _("Paraphrases that training never sees tell learning from learning by heart."),
    GateRule.STOP_RATE: _("An answer that does not end by itself is cut off in front of the reader."),
    GateRule.DRIFT: _("How much less likely the model finds good answers that have nothing to do with the cases."),
    GateRule.HELD_OUT: _("Against the rows of the dataset version that are kept apart for testing."),
}


class GateForm(forms.Form):
    """One field for each rule; an empty one switches the rule off."""

    def __init__(self, *args: Any, limits: dict[GateRule, float | None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for rule, limit in limits.items():
            is_count = rule in COUNTS
            bound = _("at most") if rule in GATE_CEILINGS else _("at least")
            kind = forms.IntegerField if is_count else forms.FloatField
            self.fields[rule.value] = kind(
                label=f"{rule.label} ({bound}{'' if is_count else ', %'})",
                required=False,
                min_value=-100 if rule == GateRule.NOT_LOWER else 0,
                max_value=10_000 if is_count else 100,
                initial=None if limit is None else f"{limit if is_count else limit * 100:g}",
                help_text=HINTS.get(rule, ""),
            )
            default = GATE_DEFAULTS[rule]
            text = "" if default is None else f"{default:g}" if is_count else f"{default * 100:g}"
            self.fields[rule.value].widget.attrs |= {"class": "input--short", "placeholder": text}

    def limits(self) -> dict[str, float | None]:
        """Return the limit of each rule as the gate has it."""
        found: dict[str, float | None] = {}
        for name, value in self.cleaned_data.items():
            found[name] = value if value is None or name in COUNTS else round(value / 100, 6)
        return found
