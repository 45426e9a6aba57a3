"""The switches of a project's detectors, and its own rules."""

from typing import Any

import regex
from django import forms
from django.core.validators import MaxValueValidator
from django.utils.translation import gettext_lazy as _

from deployment.models import DetectorSettings
from deployment.states import SAMPLERS, Detector

MOST_SAMPLES = 500
SWITCHED = [each for each in Detector if each not in SAMPLERS]
HINTS = {
    Detector.LOOP: _("The same words, sentences or lines come again and again, and the prompt did not ask for that."),
    Detector.NO_STOP: _("The answer was cut off by the limit of tokens."),
    Detector.EMPTY: _("There is nothing in it, or nothing but marks."),
    Detector.REFUSAL: _("It begins with a refusal, in English or Chinese. Whether that was right is yours to say."),
    Detector.LANGUAGE: _("It is in another language than the prompt, which spoke neither of languages nor of code."),
    Detector.PERSONAL: _("Mail addresses and phone, card, identity or account numbers that the prompt did not have."),
    Detector.CAME_BACK: _("Nearly the wrong output of a corrected case, to nearly the same prompt."),
    Detector.RULES: _("It breaks one of the rules below."),
}


class DetectorForm(forms.ModelForm):
    """A switch `on_<detector>` for each detector."""

    class Meta:
        model = DetectorSettings
        fields = ("forbidden_words", "forbidden_pattern", "must_be_json", "max_cases_per_day", "samples_per_day")
        widgets = {"forbidden_words": forms.Textarea(attrs={"rows": 4})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for detector in SWITCHED:
            self.fields[f"on_{detector.value}"] = forms.BooleanField(
                label=detector.label,
                required=False,
                initial=detector.value not in self.instance.off,
                help_text=HINTS[detector],
            )
        self.fields["forbidden_pattern"].help_text = _("A regular expression, as Python's package regex reads it.")
        self.fields["samples_per_day"].help_text = _(
            "Half of them those of whose tokens the model was least sure, half those whose question is least like any that it has learnt. 0: none."
        )
        self.fields["samples_per_day"].validators.append(MaxValueValidator(MOST_SAMPLES))
        self.fields["samples_per_day"].widget.attrs |= {"min": 0, "max": MOST_SAMPLES, "class": "input--short"}
        self.fields["max_cases_per_day"].widget.attrs["class"] = "input--short"
        self.fields["max_cases_per_day"].help_text = _("More findings of a day still count for cases that are open.")

    def clean_forbidden_pattern(self) -> str:
        pattern = str(self.cleaned_data["forbidden_pattern"])
        try:
            regex.compile(pattern)
        except regex.error as error:
            raise forms.ValidationError(_("This is no pattern: %(error)s"), params={"error": error}) from error
        return pattern

    def chosen(self) -> dict[str, Any]:
        """Return the fields of the settings."""
        off = [each.value for each in SWITCHED if not self.cleaned_data[f"on_{each.value}"]]
        return {"off": off} | {name: self.cleaned_data[name] for name in self.Meta.fields}
