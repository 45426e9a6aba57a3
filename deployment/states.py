"""The life of a cycle.

collecting ──► training ──► evaluating ──► promoted | awaiting_approval | stopped
                                           awaiting_approval ──► promoted | stopped
(any of the first three ──► stopped, with the reason)
"""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class CycleState(TextChoices):
    COLLECTING = "collecting", _("Collecting")
    TRAINING = "training", _("Training")
    EVALUATING = "evaluating", _("Evaluating")
    AWAITING_APPROVAL = "awaiting_approval", _("Waiting for approval")
    PROMOTED = "promoted", _("Deployed")
    STOPPED = "stopped", _("Stopped")


CYCLE_MOVES = {
    CycleState.COLLECTING: {CycleState.TRAINING, CycleState.STOPPED},
    CycleState.TRAINING: {CycleState.EVALUATING, CycleState.STOPPED},
    CycleState.EVALUATING: {CycleState.PROMOTED, CycleState.AWAITING_APPROVAL, CycleState.STOPPED},
    CycleState.AWAITING_APPROVAL: {CycleState.PROMOTED, CycleState.STOPPED},
}
CYCLE_ENDED = (CycleState.PROMOTED, CycleState.STOPPED)


class ChangeKind(TextChoices):
    CREATE = "create", _("Created")
    DEPLOY = "deploy", _("Deployed")
    ROLL_BACK = "roll_back", _("Rolled back")


class CompletionState(TextChoices):
    STREAMING = "streaming", _("Being written")
    DONE = "done", _("Done")
    CANCELLED = "cancelled", _("Stopped")
    FAILED = "failed", _("Failed")
