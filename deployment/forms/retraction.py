"""Taking a person's work back, and training without it."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from labeling.models import Project, User
from training.models import TunedModel


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
