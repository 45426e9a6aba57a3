"""The lives of a job, an evaluation and a model.

job         validating_files ──► queued ──► running ──► succeeded | failed | cancelled
                   │               ▲  │        │  ▲
                   └──► failed     │  │        ▼  │
                                   │  │      paused
                                   └──┼────────┘     running ──► queued after a crash
                                      └──► cancelled         (also from validating_files and paused)

evaluation  queued ──► running ──► succeeded | failed | cancelled       running ──► queued after a crash
"""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class JobState(TextChoices):
    VALIDATING_FILES = "validating_files", _("Checking files")
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Paused")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


JOB_MOVES: dict[str, set[str]] = {
    JobState.VALIDATING_FILES: {JobState.QUEUED, JobState.FAILED, JobState.CANCELLED},
    JobState.QUEUED: {JobState.RUNNING, JobState.FAILED, JobState.CANCELLED, JobState.PAUSED},
    JobState.RUNNING: {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.PAUSED, JobState.QUEUED},
    JobState.PAUSED: {JobState.QUEUED, JobState.CANCELLED},
}
JOB_ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class CheckpointState(TextChoices):
    """What becomes of a checkpoint that a job has kept.

    kept ──► waiting ──► merging ──► made | failed      merging ──► waiting after a crash      failed ──► waiting
    """

    KEPT = "kept", _("Kept")
    WAITING = "waiting", _("Waiting")
    MERGING = "merging", _("Being made a model")
    MADE = "made", _("A model")
    FAILED = "failed", _("Failed")


CHECKPOINT_MOVES: dict[str, set[str]] = {
    CheckpointState.KEPT: {CheckpointState.WAITING},
    CheckpointState.WAITING: {CheckpointState.MERGING},
    CheckpointState.MERGING: {CheckpointState.MADE, CheckpointState.FAILED, CheckpointState.WAITING},
    CheckpointState.FAILED: {CheckpointState.WAITING},
}
CHECKPOINT_AT_WORK = (CheckpointState.WAITING, CheckpointState.MERGING)


class JobMethod(TextChoices):
    """How a job learns. The two that learn preferences need rows with a rejected answer."""

    SFT = "sft", _("From answers (SFT)")
    DPO = "dpo", _("From preferences (DPO)")
    SFT_DPO = "sft_dpo", _("From preferences and their better answers (SFT + DPO)")


PREFERENCE_METHODS = (JobMethod.DPO, JobMethod.SFT_DPO)
MIN_PAIRS = 8  # ml/dpo.py asks for as many


class JobTuning(TextChoices):
    """Which weights a job trains."""

    AUTO = "auto", _("Chosen by the trainer: an adapter")
    LORA = "lora", _("An adapter beside them (LoRA)")
    QLORA = "qlora", _("An adapter beside 4-bit weights (QLoRA, needs a GPU)")
    FULL = "full", _("All of them")


class EvaluationState(TextChoices):
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


EVALUATION_MOVES: dict[str, set[str]] = {
    EvaluationState.QUEUED: {EvaluationState.RUNNING, EvaluationState.FAILED, EvaluationState.CANCELLED},
    EvaluationState.RUNNING: {
        EvaluationState.SUCCEEDED,
        EvaluationState.FAILED,
        EvaluationState.CANCELLED,
        EvaluationState.QUEUED,
    },
}
EVALUATION_ENDED = (EvaluationState.SUCCEEDED, EvaluationState.FAILED, EvaluationState.CANCELLED)


class BaseModelSource(TextChoices):
    BUNDLED = "bundled", _("Bundled")
    FOLDER = "folder", _("Folder")
    HUB = "hub", _("Hub")


class BaseModelState(TextChoices):
    """Where the weights of an entry of the catalog are.

    missing ──► waiting ──► pulling ──► present | failed      waiting | pulling ──► missing when called off
    failed | present ──► waiting      pulling ──► waiting after a crash
    """

    MISSING = "missing", _("Not downloaded")
    WAITING = "waiting", _("Waiting")
    PULLING = "pulling", _("Being fetched")
    PRESENT = "present", _("Ready")
    FAILED = "failed", _("Failed")


BASE_MODEL_MOVES: dict[str, set[str]] = {
    BaseModelState.MISSING: {BaseModelState.WAITING},
    BaseModelState.WAITING: {BaseModelState.PULLING, BaseModelState.MISSING},
    BaseModelState.PULLING: {
        BaseModelState.PRESENT,
        BaseModelState.FAILED,
        BaseModelState.MISSING,
        BaseModelState.WAITING,
    },
    BaseModelState.PRESENT: {BaseModelState.WAITING},
    BaseModelState.FAILED: {BaseModelState.WAITING},
}
BASE_MODEL_AT_WORK = (BaseModelState.WAITING, BaseModelState.PULLING)


class Split(TextChoices):
    TRAIN = "train", _("Training")
    VALID = "valid", _("Validation")
    TEST = "test", _("Test")


class RowKind(TextChoices):
    """What a frozen row is: an example of that kind, or the better and the other answer of a comparison."""

    DEMONSTRATION = "demonstration", _("Demonstration")
    CORRECTION = "correction", _("Correction")
    PAIR = "pair", _("Compared pair")


class CountState(TextChoices):
    """Of the statistics of a dataset version."""

    COUNTING = "counting", _("Being counted")
    DONE = "done", _("Counted")
    FAILED = "failed", _("Not counted")


class FilePurpose(TextChoices):
    FINE_TUNE = "fine-tune", _("Rows to train on")
    BATCH = "batch", _("Batch of requests")
    BATCH_OUTPUT = "batch_output", _("Answers to a batch")
    EVALS = "evals", _("Rows to evaluate on")
    RESULTS = "fine-tune-results", _("Measurements of a job")


class FileFormat(TextChoices):
    CHAT = "chat", _("Conversations")
    COMPLETION = "completion", _("Prompts and completions")
    PREFERENCE = "preference", _("Preferences")


class Suite(TextChoices):
    REGRESSION = "regression", _("Cases")
    PROBE = "probe", _("Probes")
    HELD_OUT = "held_out", _("Held-out rows")
    VALIDATION = "validation", _("Validation rows")
    GOLD = "gold", _("Gold tasks")
    OWN = "own", _("Own suites")
    UNRELATED = "unrelated", _("Unrelated prompts")


class ErrorKind(TextChoices):
    """Why a run failed. The label is what the person at the screen can do about it."""

    DATA = (
        "data",
        _("Something in the rows cannot be used. Mend or take back the examples named below and train again."),
    )
    MEMORY = "memory", _("Memory ran out. Choose a smaller batch size or a smaller base model and train again.")
    DISK = (
        "disk",
        _("The disk is full or cannot be written. Free some space and train again; the dataset version is safe."),
    )
    BUDGET = (
        "budget",
        _("It would cost more than it may. Allow it more, or train on fewer rows or for fewer epochs."),
    )
    PACKAGE = "package", _("Something that training needs is not installed. The message below says what to install.")
    MODEL = (
        "model",
        _(
            "It was trained, but does not answer as a model should. Look at its answers below; a lower learning rate, fewer "
            "epochs or other rows help."
        ),
    )
    CODE = (
        "code",
        _("The trainer stopped unexpectedly. No data is lost. Train again; if it stays, read the last lines below."),
    )


class GateRule(TextChoices):
    EFFICACY = "efficacy", _("Cases answered right")
    NOT_LOWER = "not_lower", _("Cases answered right, no fewer than by the live model")
    BROKEN = "broken", _("Cases that the live model gets right and the candidate wrong")
    FORGOTTEN = "forgotten", _("Cases fixed earlier that are answered wrong again")
    GENERALISATION = "generalisation", _("Probes answered right")
    STOP_RATE = "stop_rate", _("Answers that end by themselves")
    DRIFT = "drift", _("Rise of the loss on unrelated prompts")
    BASE_DRIFT = "base_drift", _("Rise of the loss on unrelated prompts since the base model")
    HELD_OUT = "held_out", _("Rise of the loss on held-out rows")


# What a candidate must keep to unless the project says otherwise; None: not asked. Shares of 1, except for counts.
GATE_DEFAULTS: dict[str, float | None] = {
    GateRule.EFFICACY: 0.9,
    GateRule.NOT_LOWER: 0.0,
    GateRule.BROKEN: 0.05,
    GateRule.FORGOTTEN: 0,
    GateRule.GENERALISATION: 0.8,
    GateRule.STOP_RATE: 0.99,
    GateRule.DRIFT: 0.03,
    GateRule.BASE_DRIFT: 0.05,
    GateRule.HELD_OUT: None,
}
GATE_CEILINGS = (GateRule.BROKEN, GateRule.FORGOTTEN, GateRule.DRIFT, GateRule.BASE_DRIFT, GateRule.HELD_OUT)


class BenchmarkTool(TextChoices):
    """Who ran a public benchmark."""

    LM_EVAL = "lm_eval", "lm-evaluation-harness"
    INSPECT = "inspect", "Inspect"


class ExportState(TextChoices):
    """A file of a dataset version that a worker makes.

    queued ──► making ──► done | failed      making ──► queued after a crash      failed ──► queued
    """

    QUEUED = "queued", _("Waiting")
    MAKING = "making", _("Being made")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


EXPORT_MOVES: dict[str, set[str]] = {
    ExportState.QUEUED: {ExportState.MAKING},
    ExportState.MAKING: {ExportState.DONE, ExportState.FAILED, ExportState.QUEUED},
    ExportState.FAILED: {ExportState.QUEUED},
}
EXPORT_AT_WORK = (ExportState.QUEUED, ExportState.MAKING)
