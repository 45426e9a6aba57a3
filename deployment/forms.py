from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from deployment.models import CyclePolicy, Deployment, LogSettings
from deployment.models.traffic import CompletionQuerySet
from deployment.queries import log_matching, targets_of
from deployment.queries.policy import next_time
from deployment.states import ShadowVerdict
from labeling.models import Project, User
from labeling.queries.case import reason_choices
from labeling.states import Reason, Scope
from training.models import TunedModel

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


class LogFilterForm(forms.Form):
    RATINGS = [("", _("any")), ("1", _("thumbs up")), ("-1", _("thumbs down")), ("0", _("none"))]

    q = forms.CharField(label=_("Text"), required=False)
    model = forms.ChoiceField(label=_("Model"), required=False)
    rating = forms.ChoiceField(label=_("Rating"), required=False, choices=RATINGS)
    thread = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, rows: CompletionQuerySet, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rows = rows
        names = rows.order_by("model_name").values_list("model_name", flat=True).distinct()
        self.fields["model"].choices = [("", _("any")), *((name, name) for name in names)]  # type: ignore[attr-defined]

    def chosen(self) -> CompletionQuerySet:
        """Return the answers that were asked for; all of them where the question makes no sense."""
        rows = self.rows
        data = self.cleaned_data if self.is_valid() else {}
        if data.get("model"):
            rows = rows.filter(model_name=data["model"])
        if data.get("rating"):
            rows = rows.filter(rating=int(data["rating"]))
        if data.get("thread"):
            rows = rows.filter(thread=data["thread"])
        return log_matching(rows, data["q"]) if data.get("q") else rows


class LogSettingsForm(forms.ModelForm):
    class Meta:
        model = LogSettings
        fields = ["retention_days", "kept_percent", "redacts"]
        widgets = {
            name: forms.NumberInput(attrs={"class": "input--short"}) for name in ("retention_days", "kept_percent")
        }


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


class ApiKeyForm(forms.Form):
    name = forms.CharField(label=_("name"), max_length=80, help_text=_("The product that will use it, for example."))
    scopes = forms.MultipleChoiceField(
        label=_("what it may do"),
        choices=Scope.choices,
        initial=Scope.values,
        widget=forms.CheckboxSelectMultiple,
    )
    days = forms.TypedChoiceField(
        label=_("works for"),
        choices=[("", _("as long as it is not revoked")), (30, _("30 days")), (90, _("90 days")), (365, _("a year"))],
        coerce=int,
        empty_value=None,
        required=False,
    )


class RetractPersonForm(forms.Form):
    """Why all of a person's work is taken back, and the person's name typed, so that it happens to nobody else."""

    reason = forms.CharField(label=_("Why it is taken out"), max_length=500)
    name = forms.CharField(label=_("The person's name, typed"), max_length=200)

    def __init__(self, data: Any = None, *, person: User) -> None:
        super().__init__(data)
        self.person = person
        self.fields["name"].widget.attrs["autocomplete"] = "off"

    def clean_name(self) -> str:
        name = " ".join(self.cleaned_data["name"].split())
        if name != " ".join(str(self.person).split()):
            raise forms.ValidationError(_("This is not the name: %(name)s."), params={"name": str(self.person)})
        return name


class RetrainForm(forms.Form):
    """The model to train anew."""

    model = forms.ModelChoiceField(TunedModel.objects.none())

    def __init__(self, data: Any = None, *, project: Project) -> None:
        super().__init__(data)
        self.fields["model"].queryset = TunedModel.objects.filter(project=project)  # type: ignore[attr-defined]


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
