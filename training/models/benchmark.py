"""What public benchmarks measured of models. They run outside, over /v1; here their results are kept and compared."""

from django.db import models

from labeling.models import Membership, Project, User
from training.states import BenchmarkTool


class BenchmarkQuerySet(models.QuerySet["BenchmarkResult"]):
    def visible_to(self, membership: Membership) -> "BenchmarkQuerySet":
        """Reviewers and admins see the results of their project."""
        return self.filter(project_id=membership.project_id) if membership.is_reviewer else self.none()


class BenchmarkResult(models.Model):
    """One metric of one task, as the tool's file tells it. `model_name` is the name that was asked for over /v1."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="benchmark_results")
    model_name = models.CharField(max_length=200)
    tool = models.CharField(max_length=10, choices=BenchmarkTool.choices)
    task = models.CharField(max_length=200)
    metric = models.CharField(max_length=100)
    value = models.FloatField()
    stderr = models.FloatField(null=True, help_text="standard error of the value; null: the file has none")
    n = models.PositiveIntegerField(null=True, help_text="prompts that were asked; null: the file does not say")
    settings = models.JSONField(
        default=dict, help_text="what else decides the value: shots, version of the task, filter"
    )
    ran_at = models.DateTimeField()
    created_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = BenchmarkQuerySet.as_manager()

    class Meta:
        ordering = ["task", "metric", "-ran_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "model_name", "tool", "task", "metric", "ran_at"], name="benchmark_result_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.task} {self.metric}: {self.value:g}"
