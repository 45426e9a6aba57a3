"""What a job trains on, and how."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from labeling.models import Project
from training.actions.errors import BadHyperparameter
from training.actions.hyperparameters import check_value
from training.actions.job import LEAST_PRIORITY, MOST_PRIORITY
from training.hyperparameters import AUTO, HYPERPARAMETERS, Hyperparameter, of_method
from training.models import BaseModel, DatasetVersion, TunedModel
from training.queries import default_base_model
from training.states import JobMethod, JobTuning

# How a job is run, beside its hyperparameters.
SETUP = ("recipe", "processes", "fsdp")


class PriorityForm(forms.Form):
    """Which waiting job comes first."""

    priority = forms.IntegerField(min_value=LEAST_PRIORITY, max_value=MOST_PRIORITY)


class JobForm(forms.Form):
    """What a job trains on, and how. Every hyperparameter may stay “auto”."""

    dataset_version = forms.ModelChoiceField(
        label=_("Dataset version"),
        queryset=DatasetVersion.objects.none(),
        required=False,
        empty_label=_("All accepted examples, frozen now"),
    )
    base_model = forms.ModelChoiceField(label=_("Base model"), queryset=BaseModel.objects.none(), empty_label=None)
    parent = forms.ModelChoiceField(
        label=_("Goes on from"),
        queryset=TunedModel.objects.none(),
        required=False,
        empty_label=_("Nothing: the base model as it is"),
        help_text=_("A fine-tuned model to train further. Its base model is the job's then."),
    )
    method = forms.ChoiceField(
        label=_("Method"),
        choices=JobMethod.choices,
        initial=JobMethod.SFT,
        required=False,
        help_text=_(
            "Preferences need rows with a rejected answer: corrections, decided comparisons, preference files."
        ),
    )
    tuning = forms.ChoiceField(
        label=_("Weights that are trained"), choices=JobTuning.choices, initial=JobTuning.AUTO, required=False
    )
    recipe = forms.ChoiceField(
        label=_("Recipe"),
        required=False,
        choices=[
            ("", _("auto")),
            ("corrections", _("For corrections: careful, for few rows")),
            ("many_rows", _("For many rows: plain and fast")),
        ],
        help_text=_("On “auto”, up to 500 rows are learnt with care, more of them fast."),
    )
    processes = forms.IntegerField(
        label=_("Processes"),
        required=False,
        min_value=1,
        max_value=64,
        help_text=_(
            "How many train the job together, one for each GPU. Empty: as the base model's entry says, else one."
        ),
    )
    fsdp = forms.BooleanField(
        label=_("Spread the model over the processes"),
        required=False,
        help_text=_("For models that do not fit into one GPU (FSDP)."),
    )
    suffix = forms.CharField(
        label=_("Suffix"), required=False, max_length=64, help_text=_("A word of yours in the new model's name.")
    )

    def __init__(self, data: Any = None, *, project: Project, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.fields["dataset_version"].queryset = project.dataset_versions.order_by("-number")  # type: ignore[attr-defined]
        self.fields["dataset_version"].label_from_instance = _version_label  # type: ignore[attr-defined]
        base_models = BaseModel.objects.order_by("-is_default", "name")
        self.fields["base_model"].queryset = base_models  # type: ignore[attr-defined]
        self.fields["base_model"].initial = default_base_model(project)
        tuned_models = TunedModel.objects.filter(project=project).select_related("base_model")
        self.fields["parent"].queryset = tuned_models  # type: ignore[attr-defined]
        for each in HYPERPARAMETERS:
            self.fields[each.name] = HyperparameterField(each)

    def clean_method(self) -> str:
        return self.cleaned_data["method"] or JobMethod.SFT

    def clean_tuning(self) -> str:
        return self.cleaned_data["tuning"] or JobTuning.AUTO

    def hyperparameter_names(self) -> list[str]:
        return [each.name for each in HYPERPARAMETERS]

    def hyperparameters(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.hyperparameter_names()}

    def setup(self) -> dict[str, Any]:
        """How the job is run, as `create_job` takes it."""
        return {name: self.cleaned_data[name] for name in SETUP if self.cleaned_data[name]}

    def setup_names(self) -> tuple[str, ...]:
        return SETUP

    def setup_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in SETUP]

    def basic_fields(self) -> list[forms.BoundField]:
        return [self[each.name] for each in of_method("sft") if each.is_basic]

    def advanced_fields(self) -> list[forms.BoundField]:
        return [self[each.name] for each in of_method("sft") if not each.is_basic]

    def preference_fields(self) -> list[forms.BoundField]:
        """Those that only the methods with preferences know."""
        known = of_method(JobMethod.SFT)
        return [self[each.name] for each in of_method(JobMethod.DPO) if each not in known]

    def has_settings(self) -> bool:
        """Whether one of the folded fields says something: then they are not folded."""
        return any(map(_says_something, self.basic_fields())) or self.has_advanced()

    def has_advanced(self) -> bool:
        fields = [*self.advanced_fields(), *self.preference_fields()]
        return any(map(_says_something, fields)) or any(field.value() or field.errors for field in self.setup_fields())


class PresetNameForm(forms.Form):
    """The name of a preset. It stands inside another form, which can be sent without it."""

    use_required_attribute = False

    name = forms.CharField(label=_("Name"), max_length=60)


class HyperparameterField(forms.CharField):
    """One row of the trainer's table: “auto” or a number in its range."""

    def __init__(self, hyperparameter: Hyperparameter) -> None:
        self.hyperparameter = hyperparameter
        unit = f"{_(hyperparameter.unit)}, " if hyperparameter.unit else ""
        limits = _("%(least)s to %(most)s") % {
            "least": f"{hyperparameter.least:g}",
            "most": f"{hyperparameter.most:,g}".replace(",", "\u202f"),
        }
        super().__init__(
            label=_(hyperparameter.label),
            initial=AUTO,
            required=False,
            max_length=20,
            help_text=f"{_(hyperparameter.sentence)} ({unit}{limits})",
            widget=forms.TextInput(attrs={"class": "input--short", "inputmode": "text", "autocomplete": "off"}),
        )

    def clean(self, value: Any) -> Any:
        try:
            return check_value(self.hyperparameter, super().clean(value))
        except BadHyperparameter as error:
            raise forms.ValidationError(str(error)) from error


def _says_something(field: forms.BoundField) -> bool:
    return bool(field.errors) or str(field.value() or AUTO).lower() != AUTO


def _version_label(version: DatasetVersion) -> str:
    return str(
        _("v%(number)s: %(n_train)s to train on, %(n_valid)s held out")
        % {"number": version.number, "n_train": version.n_train, "n_valid": version.n_valid}
    )
