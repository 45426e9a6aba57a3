"""Why something in training did not happen. The message is a sentence for people, the fields are for code."""

from django.utils.translation import gettext_lazy as _


class TrainingError(Exception):
    """Root of the tree.

    TrainingError
    ├── NothingToFreeze      the project has no example that could be trained on
    ├── LeakedProbe          a training row asks what a held-out probe asks (`prompts`, `case_pks`)
    ├── JobRefused           a job that cannot be created (`field` names the input at fault)
    │   ├── NoTrainingRows
    │   ├── BaseModelNotReady
    │   └── BadHyperparameter
    └── NotPossible          the job or evaluation is not in a state in which that can be done
    """

    message = _("This did not work.")

    def __init__(self, message: str = "") -> None:
        super().__init__(message or str(self.message))


class NothingToFreeze(TrainingError):
    message = _("There is no accepted example yet, so there is nothing to freeze.")


class LeakedProbe(TrainingError):
    def __init__(self, message: str, *, prompts: list[str], case_pks: list[int]) -> None:
        super().__init__(message)
        self.prompts, self.case_pks = prompts, case_pks


class JobRefused(TrainingError):
    field = ""


class NoTrainingRows(JobRefused):
    field = "dataset_version"
    message = _("The dataset version has no training row: all of its rows are held out for validation. Add examples.")


class BaseModelNotReady(JobRefused):
    field = "base_model"
    message = _("The weights of this base model are not on this machine yet.")


class BadHyperparameter(JobRefused):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NotPossible(TrainingError):
    message = _("That is not possible in its present state.")
