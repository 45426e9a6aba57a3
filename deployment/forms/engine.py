"""Engines outside, and what they answer for, as forms."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from deployment.models import Judge, OutsideEngine
from deployment.states import EngineKind
from labeling.models import Project
from training.models import BaseModel, TunedModel


class EngineForm(forms.Form):
    name = forms.CharField(label=_("name"), max_length=60)
    kind = forms.ChoiceField(label=_("kind"), choices=EngineKind.choices)
    url = forms.URLField(
        label=_("address"),
        max_length=500,
        assume_scheme="https",
        help_text=_("Up to and with /v1, for example https://vllm.example.org/v1."),
    )
    key = forms.CharField(
        label=_("key"),
        max_length=500,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=_("It is kept sealed and never shown again. Empty: none, or the one that is kept."),
    )

    def __init__(self, data: Any = None, *, engine: OutsideEngine | None = None) -> None:
        initial = {"name": engine.name, "kind": engine.kind, "url": engine.url} if engine else {}
        super().__init__(data, initial=initial)


class ServeForm(forms.Form):
    """Which model of the project an engine answers for. The value is "tuned-3" or "base-1"."""

    model = forms.ChoiceField(label=_("Model"))
    served_name = forms.CharField(
        label=_("its name there"),
        max_length=200,
        help_text=_("A new name for each release, so that nothing changes in the middle of an answer."),
    )

    def __init__(self, data: Any = None, *, project: Project) -> None:
        super().__init__(data)
        self.models: dict[str, TunedModel | BaseModel] = {}
        for tuned in TunedModel.objects.filter(project=project).order_by("-pk"):
            self.models[f"tuned-{tuned.pk}"] = tuned
        for base in BaseModel.objects.order_by("slug"):
            self.models[f"base-{base.pk}"] = base
        names = [
            (key, model.name if isinstance(model, TunedModel) else model.slug) for key, model in self.models.items()
        ]
        self.fields["model"].choices = names  # type: ignore[attr-defined]

    @property
    def chosen(self) -> TunedModel | BaseModel:
        return self.models[self.cleaned_data["model"]]


class JudgeForm(forms.Form):
    """Which model compares answers; without an engine none does."""

    engine = forms.ModelChoiceField(
        OutsideEngine.objects.none(), label=_("Engine"), required=False, empty_label=_("no judge")
    )
    served_name = forms.CharField(label=_("its name there"), max_length=200, required=False)
    is_on = forms.BooleanField(label=_("compare what people are asked to compare"), required=False)

    def __init__(self, data: Any = None, *, project: Project, judge: Judge | None) -> None:
        initial = {"engine": judge.engine_id, "served_name": judge.served_name} if judge else {}
        super().__init__(data, initial={**initial, "is_on": judge.is_on if judge else True})
        self.fields["engine"].queryset = OutsideEngine.objects.filter(project=project)  # type: ignore[attr-defined]
        self.fields["engine"].help_text = _("Engines are added under Deployment → Engines.")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("engine") and not (data.get("served_name") or "").strip():
            self.add_error("served_name", _("Say what the model is called there."))
        return data
