"""Why something in training did not happen. The message is a sentence for people, the fields are for code."""

from django.utils.translation import gettext_lazy as _


class TrainingError(Exception):
    """Root of the tree.

    TrainingError
    ├── NothingToFreeze      the project has no example that could be trained on
    │   └── TextsGone        or some were deleted while they were chosen: trying again helps
    ├── BadComposition       a rule of a version's composition that makes no sense (`field`)
    ├── Leak                 training rows ask what is held out to be tested (`row_hashes`)
    │   ├── LeakedProbe      a probe of a test (`prompts`, `case_pks`)
    │   └── LeakedTest       a row of the version's test split
    ├── FileRefused          a file that cannot be used (`field` names the input at fault)
    │   ├── EmptyFile
    │   ├── FileTooLarge
    │   └── BadLine          the first line at fault (`number`, `name` of the field in it)
    ├── ExportFailed         a file of a dataset version that could not be made
    │   └── PushFailed           or not be pushed to the Hub
    ├── ModelInUse           a model that cannot be deleted now
    ├── JobRefused           a job that cannot be created (`field` names the input at fault)
    │   ├── NoTrainingRows
    │   ├── TooFewPairs
    │   ├── BaseModelNotReady
    │   │   └── TooLittleMemory
    │   └── BadHyperparameter
    ├── NameTaken            a preset of this name is there already
    └── NotPossible          the job or evaluation is not in a state in which that can be done
    """

    message = _("This did not work.")

    def __init__(self, message: str = "") -> None:
        super().__init__(message or str(self.message))


class NothingToFreeze(TrainingError):
    message = _("There is no accepted example yet, so there is nothing to freeze.")


class TextsGone(NothingToFreeze):
    message = _("Examples were deleted while the version was made. Nothing was frozen. Try again.")


class BadComposition(TrainingError):
    message = _("A rule of the composition makes no sense.")

    def __init__(self, field: str) -> None:
        super().__init__()
        self.field = field


class Leak(TrainingError):
    def __init__(self, message: str, *, row_hashes: list[str]) -> None:
        super().__init__(message)
        self.row_hashes = row_hashes


class LeakedProbe(Leak):
    def __init__(self, message: str, *, prompts: list[str], case_pks: list[int], row_hashes: list[str]) -> None:
        super().__init__(message, row_hashes=row_hashes)
        self.prompts, self.case_pks = prompts, case_pks


class LeakedTest(Leak):
    pass


class FileRefused(TrainingError):
    def __init__(self, message: str = "", *, field: str = "file") -> None:
        super().__init__(message)
        self.field = field


class ExportFailed(TrainingError):
    message = _("The file could not be made.")


class PushFailed(ExportFailed):
    message = _("The dataset could not be pushed.")


class EmptyFile(FileRefused):
    message = _("The file is empty.")


class FileTooLarge(FileRefused):
    message = _("The file is larger than 512 MB.")


class BadLine(FileRefused):
    """The message is in the words that users of the API know, in English."""

    def __init__(self, number: int, name: str, why: str, *, message: str = "") -> None:
        place = f"Line {number}, field {name}" if name else f"Line {number}"
        super().__init__(message or f"{place}: {why}.")
        self.number, self.name = number, name

    @classmethod
    def not_a_dictionary(cls, number: int, start: str) -> "BadLine":
        message = (
            "Expected file to have JSONL format, where every line is a valid JSON dictionary. "
            f'Line {number} is not a dictionary (HINT: line starts with: "{start}...").'
        )
        return cls(number, "", "", message=message)


class ModelInUse(TrainingError):
    message = _("This model is in use and cannot be deleted.")


class JobRefused(TrainingError):
    field = ""


class NoTrainingRows(JobRefused):
    field = "dataset_version"
    message = _("The dataset version has no training row: all of its rows are held out for validation. Add examples.")


class TooFewPairs(JobRefused):
    field = "method"
    message = _(
        "Learning from preferences needs at least 8 rows to train on that have a rejected answer. "
        "Correct more cases or judge more comparisons, or learn from answers."
    )


class BaseModelNotReady(JobRefused):
    field = "base_model"
    message = _("The weights of this base model are not on this machine yet.")


class TooLittleMemory(BaseModelNotReady):
    message = _("The machine has too little memory to train this base model.")


class BadHyperparameter(JobRefused):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NameTaken(TrainingError):
    message = _("This name is taken.")


class NotPossible(TrainingError):
    message = _("That is not possible in its present state.")
