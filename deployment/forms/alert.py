"""The rules of alerts as forms, one of each measure."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from deployment.models import AlertRule
from deployment.states import AlertMeasure

HINTS = {
    AlertMeasure.BAD: _("Conversations with an answer of the live model that people or detectors found wrong."),
    AlertMeasure.FAILED: _("Conversations that met an error, whatever model answered."),
    AlertMeasure.SLOW: _("Conversations that waited longer for the first word than these seconds."),
    AlertMeasure.CUT: _("Conversations with an answer that was cut off by the limit of tokens."),
}


class AlertRuleForm(forms.ModelForm):
    class Meta:
        model = AlertRule
        fields = ("is_on", "threshold", "seconds", "window", "least", "mails")
        widgets = {
            name: forms.NumberInput(attrs={"class": "input--short", "step": step})
            for name, step in (("threshold", "any"), ("seconds", "any"), ("window", "1"), ("least", "1"))
        }

    def __init__(self, data: Any = None, *, rule: AlertRule) -> None:
        super().__init__(data, instance=rule, prefix=rule.measure)
        self.measure = AlertMeasure(rule.measure)
        self.hint = HINTS[self.measure]
        if self.measure != AlertMeasure.SLOW:
            del self.fields["seconds"]


class SilenceForm(forms.Form):
    HOURS = [(1, _("for an hour")), (8, _("for eight hours")), (24, _("for a day")), (168, _("for a week"))]

    measure = forms.ChoiceField(choices=AlertMeasure.choices, widget=forms.HiddenInput)
    hours = forms.TypedChoiceField(label=_("Tell nobody"), choices=[*HOURS, (0, _("End the silence"))], coerce=int)
