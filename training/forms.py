from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from labeling.models import Project
from training.actions.job import AUTO
from training.models import BaseModel, DatasetVersion


class FreezeForm(forms.Form):
    """A note for a new dataset version."""

    note = forms.CharField(
        label=_("Note"),
        required=False,
        max_length=500,
        help_text=_("What is special about this version, for whoever looks at it later."),
    )


class JobForm(forms.Form):
    """What a job trains on, and how. Every hyperparameter may stay “auto”."""

    dataset_version = forms.ModelChoiceField(
        label=_("Dataset version"),
        queryset=DatasetVersion.objects.none(),
        required=False,
        empty_label=_("All accepted examples, frozen now"),
    )
    base_model = forms.ModelChoiceField(label=_("Base model"), queryset=BaseModel.objects.none(), empty_label=None)
    suffix = forms.CharField(
        label=_("Suffix"), required=False, max_length=64, help_text=_("A word of yours in the new model's name.")
    )
    n_epochs = forms.CharField(
        label=_("Epochs"), initial=AUTO, required=False, help_text=_("How often each row is learnt from.")
    )
    learning_rate_multiplier = forms.CharField(
        label=_("Learning rate multiplier"),
        initial=AUTO,
        required=False,
        help_text=_("More than 1 learns faster and forgets more."),
    )
    batch_size = forms.CharField(label=_("Batch size"), initial=AUTO, required=False, help_text=_("Rows in one step."))
    lora_rank = forms.CharField(
        label=_("LoRA rank"), initial=AUTO, required=False, help_text=_("The size of what is added to the base model.")
    )

    HYPERPARAMETERS = ("n_epochs", "learning_rate_multiplier", "batch_size", "lora_rank")

    def __init__(self, data: Any = None, *, project: Project, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.fields["dataset_version"].queryset = project.dataset_versions.order_by("-number")  # type: ignore[attr-defined]
        self.fields["dataset_version"].label_from_instance = _version_label  # type: ignore[attr-defined]
        base_models = BaseModel.objects.order_by("-is_default", "name")
        self.fields["base_model"].queryset = base_models  # type: ignore[attr-defined]
        for name in self.HYPERPARAMETERS:
            self.fields[name].widget.attrs["class"] = "input--short"

    def hyperparameters(self) -> dict[str, str]:
        return {name: self.cleaned_data[name].strip().lower() or AUTO for name in self.HYPERPARAMETERS}

    def hyperparameter_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.HYPERPARAMETERS]


def _version_label(version: DatasetVersion) -> str:
    return str(
        _("v%(number)s: %(n_train)s to train on, %(n_valid)s held out")
        % {"number": version.number, "n_train": version.n_train, "n_valid": version.n_valid}
    )
