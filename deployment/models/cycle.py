from django.db import models

from deployment.models.release import DeploymentChange
from deployment.states import CYCLE_ENDED, CycleState, Reach, StopCode, Trigger
from labeling.models import Membership, Project, User
from training.models import DatasetVersion, Evaluation, Job


class CycleQuerySet(models.QuerySet["Cycle"]):
    def visible_to(self, membership: Membership) -> "CycleQuerySet":
        """Admins see the cycles of their project."""
        return self.filter(project_id=membership.project_id) if membership.is_admin else self.none()


class Cycle(models.Model):
    """One turn of the loop: freeze, train, evaluate, deploy if better. At most one runs in a project."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="cycles")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=20, choices=CycleState.choices, default=CycleState.COLLECTING)
    dataset_version = models.ForeignKey(DatasetVersion, models.PROTECT, null=True, related_name="cycles")
    job = models.ForeignKey(Job, models.PROTECT, null=True, related_name="cycles")
    evaluation = models.ForeignKey(Evaluation, models.SET_NULL, null=True, related_name="cycles")
    change = models.ForeignKey(DeploymentChange, models.SET_NULL, null=True, related_name="cycles")
    summary = models.JSONField(default=dict, help_text="the numbers that run_cycle prints")
    trigger = models.CharField(max_length=10, choices=Trigger.choices, default=Trigger.HAND)
    reach = models.CharField(max_length=10, choices=Reach.choices, default=Reach.LIVE)
    canary_percent = models.PositiveSmallIntegerField(default=10, help_text="the share, where it goes up to a canary")
    most_price = models.DecimalField(
        max_digits=12,
        decimal_places=2,
        null=True,
        help_text="its job is not started if it will cost more; null: any price",
    )
    replay = models.JSONField(
        default=dict, help_text="why its training has this replay weight: {weight, former, drift, limit, cycle}"
    )
    stop_reason = models.CharField(max_length=500, blank=True)
    started_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    started_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    objects = CycleQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="cycle_number"),
            models.UniqueConstraint(
                fields=["project"],
                condition=models.Q(
                    state__in=[str(CycleState.COLLECTING), str(CycleState.TRAINING), str(CycleState.EVALUATING)]
                ),
                name="cycle_one_at_work",
            ),
        ]

    @property
    def has_ended(self) -> bool:
        return self.state in CYCLE_ENDED

    @property
    def stop_sentence(self) -> str:
        """Why it stopped, in the reader's language; `stop_reason` has the details. Empty for one that did not stop."""
        code = self.summary.get("stop_code")
        return str(StopCode(code).label) if code in StopCode.values else ""
