"""A deployment's steps and rules."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from deployment.models import Deployment
from deployment.states import ShadowVerdict
from labeling.models import Project
from training.models import TunedModel


class DeployForm(forms.Form):
    model = forms.ModelChoiceField(TunedModel.objects.none())
    reason = forms.CharField(label=_("Reason"), required=False, max_length=500)

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["model"].queryset = TunedModel.objects.filter(project=project)  # type: ignore[attr-defined]


class StepForm(forms.Form):
    """A step of a candidate. `model` is what the person saw: after somebody else's step, promoting does not promote another."""

    SHADOW, CANARY, PROMOTE, WITHDRAW = "shadow", "canary", "promote", "withdraw"

    model = forms.ModelChoiceField(TunedModel.objects.none())
    step = forms.ChoiceField(
        label=_("Step"),
        choices=[
            (SHADOW, _("Shadow: answers copies of real prompts, nobody sees it")),
            (CANARY, _("Canary: answers a share of the conversations")),
            (PROMOTE, _("Live")),
            (WITHDRAW, _("Withdraw")),
        ],
    )
    percent = forms.IntegerField(
        label=_("Share of the conversations, in percent"), min_value=1, max_value=99, required=False
    )
    reason = forms.CharField(label=_("Reason"), required=False, max_length=500)

    def __init__(self, data: Any = None, *, project: Project) -> None:
        super().__init__(data)
        self.fields["model"].queryset = TunedModel.objects.filter(project=project)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("step") == self.CANARY and not data.get("percent") and "percent" not in self.errors:
            self.add_error("percent", _("Say how many percent of the conversations it is to answer."))
        return data


class ShadowForm(forms.Form):
    verdict = forms.ChoiceField(choices=ShadowVerdict.choices)
    opens_case = forms.BooleanField(required=False)


class RulesForm(forms.ModelForm):
    """What a deployment does by itself."""

    class Meta:
        model = Deployment
        fields = ["canary_after", "rule_percent", "live_after", "is_guarded", "shadow_percent", "shadow_per_minute"]
        widgets = {
            name: forms.NumberInput(attrs={"class": "input--short"})
            for name in ("canary_after", "rule_percent", "live_after", "shadow_percent", "shadow_per_minute")
        }


class RollBackForm(forms.Form):
    """`live` is what the person saw as live: a second click, or one after somebody else's, does not go further back."""

    live = forms.IntegerField()
