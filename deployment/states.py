"""The life of a cycle.

collecting ──► training ──► evaluating ──► promoted | awaiting_approval | stopped
                                           awaiting_approval ──► promoted | stopped
(any of the first three ──► stopped, with the reason)
"""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class CycleState(TextChoices):
    COLLECTING = "collecting", _("Collecting")
    TRAINING = "training", pgettext_lazy("at the moment", "Training")
    EVALUATING = "evaluating", _("Evaluating")
    AWAITING_APPROVAL = "awaiting_approval", _("Waiting for approval")
    PROMOTED = "promoted", _("Deployed")
    STOPPED = "stopped", _("Stopped")


CYCLE_MOVES: dict[str, set[str]] = {
    CycleState.COLLECTING: {CycleState.TRAINING, CycleState.STOPPED},
    CycleState.TRAINING: {CycleState.EVALUATING, CycleState.STOPPED},
    CycleState.EVALUATING: {CycleState.PROMOTED, CycleState.AWAITING_APPROVAL, CycleState.STOPPED},
    CycleState.AWAITING_APPROVAL: {CycleState.PROMOTED, CycleState.STOPPED},
}
CYCLE_ENDED = (CycleState.PROMOTED, CycleState.STOPPED)


class Stage(TextChoices):
    """How far a deployment's candidate has come: (none) ──► shadow ──► canary ──► live, or withdrawn at any time."""

    SHADOW = "shadow", pgettext_lazy("stage of a candidate", "Shadow")
    CANARY = "canary", pgettext_lazy("stage of a candidate", "Canary")


class ChangeKind(TextChoices):
    CREATE = "create", _("Created")
    SHADOW = "shadow", _("Shadow started")
    CANARY = "canary", _("Canary set")
    WITHDRAW = "withdraw", _("Candidate withdrawn")
    DEPLOY = "deploy", _("Deployed")
    ROLL_BACK = "roll_back", _("Rolled back")


# What changes the live model; the others concern the candidate alone.
LIVE_CHANGES = (ChangeKind.CREATE, ChangeKind.DEPLOY, ChangeKind.ROLL_BACK)


class ShadowVerdict(TextChoices):
    """What a reviewer makes of a candidate's answer, beside the live one."""

    SAME = "same", pgettext_lazy("of the candidate's answer", "As good")
    BETTER = "better", pgettext_lazy("of the candidate's answer", "Better")
    WORSE = "worse", pgettext_lazy("of the candidate's answer", "Worse")
    BOTH_WRONG = "both_wrong", _("Both wrong")


class CompletionState(TextChoices):
    STREAMING = "streaming", _("Being written")
    DONE = "done", _("Done")
    CANCELLED = "cancelled", _("Stopped")
    FAILED = "failed", _("Failed")


class BatchState(TextChoices):
    """The life of a batch: validating ──► in_progress ──► finalizing ──► completed

    validating ──► failed (a line that is no request);  validating | in_progress ──► cancelling ──► cancelled;
    in_progress ──► expired. What was answered until then is kept.
    """

    VALIDATING = "validating", _("Checking the requests")
    IN_PROGRESS = "in_progress", _("Answering")
    FINALIZING = "finalizing", _("Writing the files")
    COMPLETED = "completed", _("Completed")
    FAILED = "failed", _("Failed")
    EXPIRED = "expired", _("Expired")
    CANCELLING = "cancelling", _("Being cancelled")
    CANCELLED = "cancelled", _("Cancelled")


BATCH_MOVES: dict[str, set[str]] = {
    BatchState.VALIDATING: {BatchState.IN_PROGRESS, BatchState.FAILED, BatchState.CANCELLING},
    BatchState.IN_PROGRESS: {BatchState.FINALIZING, BatchState.CANCELLING, BatchState.EXPIRED},
    BatchState.FINALIZING: {BatchState.COMPLETED},
    BatchState.CANCELLING: {BatchState.CANCELLED},
}
BATCH_AT_WORK = (BatchState.VALIDATING, BatchState.IN_PROGRESS, BatchState.FINALIZING, BatchState.CANCELLING)


class StopCode(TextChoices):
    """Why a cycle stopped; kept in its summary as `stop_code`."""

    NOTHING_NEW = "nothing_new", _("There was nothing new to learn from.")
    GATE = "gate", _("The new model did not pass the gate.")
    JOB_FAILED = "job_failed", _("The training failed.")
    JOB_CANCELLED = "job_cancelled", _("The training was cancelled.")
    EVALUATION_FAILED = "evaluation_failed", _("The evaluation failed.")
    NOT_DEPLOYED = "not_deployed", _("The new model passed, but could not be deployed.")
    CANCELLED = "cancelled", _("Somebody stopped the cycle.")
    REFUSED = "refused", _("The training could not be started.")
    HELD = "held", _("The new model passed the gate; a person decides what goes live.")
    CANARY = "canary", _("The new model passed the gate and answers a share of the conversations.")


class Trigger(TextChoices):
    """What started a cycle."""

    HAND = "hand", _("by hand")
    SCHEDULE = "schedule", _("by the schedule")
    COUNT = "count", _("by the number of new examples")
    ALERT = "alert", _("by an alert")


class Reach(TextChoices):
    """How far a cycle goes by itself."""

    TRAIN = "train", _("Train and evaluate; a person decides what goes live")
    CANARY = "canary", _("Up to a canary, if the model passes the gate")
    LIVE = "live", _("Up to live, if the model passes the gate")


class SkipCode(TextChoices):
    """Why a cycle that was due did not start."""

    TOO_FEW = "too_few"
    BUDGET = "budget"
    PRICE = "price"
    AT_WORK = "at_work"


# A cycle that ends in one of these did its work: there was nothing to do, the candidate was not better, or a person goes on.
REGULAR_STOPS = (StopCode.NOTHING_NEW, StopCode.GATE, StopCode.HELD, StopCode.CANARY)


class Detector(TextChoices):
    """What looks at finished answers and opens cases by itself, in the order of the settings page."""

    LOOP = "loop", _("Repeats itself")
    NO_STOP = "no_stop", _("Does not end")
    EMPTY = "empty", _("Empty")
    REFUSAL = "refusal", _("Refuses")
    LANGUAGE = "language", _("Wrong language")
    PERSONAL = "personal", _("Personal data")
    CAME_BACK = "came_back", _("It came back")
    RULES = "rules", _("Against the project's rules")
    UNCERTAIN = "uncertain", _("Sample: unsure")
    NOVEL = "novel", _("Sample: unlike what is known")


SAMPLERS = (Detector.UNCERTAIN, Detector.NOVEL)  # find nothing wrong: they choose what a reviewer looks at
DETECTORS_OFF = (Detector.RULES,)  # as long as a project has chosen nothing


class AlertMeasure(TextChoices):
    """What a project can be alerted of: each is a share of the conversations with its deployment."""

    BAD = "bad", _("Bad answers")
    FAILED = "failed", _("Errors")
    SLOW = "slow", _("Slow answers")
    CUT = "cut", _("Answers without an end")


ALERTS_OF_THE_MODEL = (AlertMeasure.BAD, AlertMeasure.CUT)  # another live model ends them; the others are the engine's


class AlertEnd(TextChoices):
    """Why an alert is over."""

    RECOVERED = "recovered", _("The share is back below the limit.")
    OTHER_MODEL = "other_model", _("Another model is live.")
    QUIET = "quiet", _("Nobody asked any more.")
    OFF = "off", _("The alert was switched off.")


class EngineKind(TextChoices):
    """What an outside engine speaks beside chat completions."""

    OPENAI = "openai", _("OpenAI-compatible address")
    VLLM = "vllm", "vLLM"


class ExplanationState(TextChoices):
    WAITING = "waiting", _("Waiting")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


class JudgeOutcome(TextChoices):
    """What a judge found, in both orders together."""

    A = "a", _("A is better")
    B = "b", _("B is better")
    SAME = "same", _("The same")
    TURNED = "turned", _("Another verdict in the other order")
    UNREADABLE = "unreadable", _("No verdict that can be read")
