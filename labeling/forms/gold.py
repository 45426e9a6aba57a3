from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext_lazy as _

from labeling.actions.errors import BadCheck, LabelingError
from labeling.forms.case import CheckRows
from labeling.models import Grade, Project
from labeling.models.qualification import HIGHEST, LOWEST, RUBRIC
from labeling.states import CheckKind

SCORES = [(score, str(score)) for score in range(LOWEST, HIGHEST + 1)]
MEANINGS = {
    "helpful": _("Does it do what was asked, completely and to the point?"),
    "truthful": _("Is everything that it says right?"),
    "harmless": _("Could it hurt anybody? 7 is harmless."),
    "follows": _("Does it keep to the instructions beside it?"),
}


LIMITS = {
    "n_qualification": (0, 50),
    "qualification_threshold": (LOWEST, HIGHEST),
    "n_retries": (0, 10),
    "n_graders": (1, 5),
    "gold_percent": (0, 50),
}


class GoldForm(forms.Form):
    """What answers to a gold task are measured against."""

    reference = forms.CharField(
        label=_("reference answer"),
        required=False,
        max_length=100_000,
        help_text=_("Graders see it beside each answer; those who answer never do."),
        widget=forms.Textarea(attrs={"rows": 8, "dir": "auto"}),
    )
    checks: Any = forms.Field(
        label=_("Checks"),
        required=False,
        widget=CheckRows,
        help_text=_("Rules that a right answer satisfies. Graders see which ones an answer passes."),
    )

    check_kinds = CheckKind.choices

    def shown_rows(self) -> list[dict[str, Any]]:
        """Return the rows of checks to draw: those that are there and an empty one."""
        return [*(self["checks"].value() or []), {"kind": "", "value": ""}]

    def blame(self, error: LabelingError) -> None:
        self.add_error("checks" if isinstance(error, BadCheck) else "reference", str(error))


class GradeForm(forms.ModelForm):
    """One row of the rubric after the other, 1 to 7 each."""

    class Meta:
        model = Grade
        fields = [*RUBRIC, "comment"]

    comment = forms.CharField(
        label=_("comment"),
        required=False,
        max_length=5000,
        help_text=_("The author reads it, without your name. Needed where the mean is below the threshold."),
        widget=forms.Textarea(attrs={"rows": 4, "dir": "auto"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in RUBRIC.items():
            self.fields[name] = forms.TypedChoiceField(
                label=label,
                choices=SCORES,
                coerce=int,
                help_text=MEANINGS[name],
                widget=forms.RadioSelect,
                error_messages={"required": _("Give a score from 1 to 7.")},
            )

    def rows(self) -> list[forms.BoundField]:
        return [self[name] for name in RUBRIC]

    def scores(self) -> dict[str, int]:
        return {name: self.cleaned_data[name] for name in RUBRIC}


class QualificationRulesForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = [
            "n_qualification",
            "qualification_threshold",
            "n_retries",
            "n_graders",
            "gold_percent",
            "pauses_below_threshold",
        ]
        help_texts = {
            "n_qualification": _("0: newcomers begin with ordinary work at once."),
            "qualification_threshold": _("The mean over all tasks and all four rows of the rubric, 1 to 7."),
            "n_retries": _(
                "Who fails the last attempt is paused with the reason. Each attempt has other tasks, as far as there are enough."
            ),
            "gold_percent": _("They look like any other task. 0: none after the qualification."),
            "pauses_below_threshold": _(
                "Without this the page of people warns you when somebody's last answers fall below the score."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, (least, most) in LIMITS.items():
            field = self.fields[name]
            step = "0.1" if isinstance(field, forms.FloatField) else "1"
            field.validators += [MinValueValidator(least), MaxValueValidator(most)]
            field.widget.attrs |= {"class": "input--short", "min": least, "max": most, "step": step}
