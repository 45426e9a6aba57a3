"""What people ask, and what they make of an answer."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from deployment.queries import targets_of
from labeling.models import Project
from labeling.queries.case import reason_choices
from labeling.states import Reason

LONGEST_TEXT = 100_000


def target_choices(project: Project, live_name: str) -> list[tuple[Any, Any]]:
    """Return whom one can ask, grouped for a select."""
    names = targets_of(project)
    groups = [
        (_("Deployment"), [(name, f"{name} · {live_name}") for name, kind in names if kind == "deployment"]),
        (_("Models"), [(name, name) for name, kind in names if kind == "model"]),
        (_("Base models"), [(name, name) for name, kind in names if kind == "base"]),
    ]
    return [(label, choices) for label, choices in groups if choices]


class ChatForm(forms.Form):
    """One question to one or two targets. `token` names this very sending: a double click sends it twice, once counts."""

    token = forms.UUIDField(widget=forms.HiddenInput)
    conversation = forms.IntegerField(widget=forms.HiddenInput, required=False)
    target = forms.ChoiceField(label=_("Ask"))
    beside = forms.ChoiceField(label=_("and beside it"), required=False)
    text = forms.CharField(
        label=_("Your message"),
        max_length=LONGEST_TEXT,
        widget=forms.Textarea(
            attrs={
                "rows": 3,
                "dir": "auto",
                "data-composer-text": True,
                "data-key": "/",
                "data-key-label": _("Your message"),
            }
        ),
    )
    system = forms.CharField(
        label=_("System message"),
        max_length=LONGEST_TEXT,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"}),
        help_text=_("Says how the assistant is to behave. Usually empty."),
    )
    temperature = forms.FloatField(
        label=_("Temperature"),
        min_value=0,
        max_value=2,
        initial=0,
        widget=forms.NumberInput(attrs={"step": "0.1", "class": "input--short"}),
        help_text=_("0 always gives the likeliest answer."),
    )
    max_tokens = forms.IntegerField(
        label=_("Longest answer, in tokens"),
        min_value=1,
        max_value=4096,
        initial=512,
        widget=forms.NumberInput(attrs={"class": "input--short"}),
    )

    def __init__(self, *args: Any, project: Project, live_name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = target_choices(project, live_name)
        self.fields["target"].choices = choices  # type: ignore[attr-defined]
        self.fields["beside"].choices = [("", pgettext_lazy("beside it", "nobody")), *choices]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("beside") and data["beside"] == data.get("target"):
            self.add_error("beside", _("Choose two different ones to compare."))
        return data

    @property
    def targets(self) -> list[str]:
        return [name for name in (self.cleaned_data["target"], self.cleaned_data["beside"]) if name]


class AgainForm(forms.Form):
    token = forms.UUIDField(widget=forms.HiddenInput)


class RateForm(forms.Form):
    rating = forms.TypedChoiceField(choices=[("1", "1"), ("0", "0")], coerce=int)


class ReportForm(forms.Form):
    """Why an answer is wrong, in the words of the project."""

    reason = forms.ChoiceField(label=_("What is wrong with it?"), initial=Reason.WRONG)
    comment = forms.CharField(
        label=_("What would have been right? (optional)"),
        required=False,
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"}),
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].choices = reason_choices(project)  # type: ignore[attr-defined]


class CaseDraftForm(forms.Form):
    """Which model is to draft the right answer to a case, and what a reviewer says to it."""

    target = forms.ChoiceField(label=_("Model"))
    remark = forms.CharField(
        label=_("What the answer should be like"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"}),
        help_text=_("The model reads the conversation, its wrong output and this remark."),
    )

    def __init__(self, *args: Any, project: Project, live_name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["target"].choices = target_choices(project, live_name)  # type: ignore[attr-defined]
