from django.db import models

from labeling.models.people import Membership, Project, User


class RetractionQuerySet(models.QuerySet["Retraction"]):
    def visible_to(self, membership: Membership) -> "RetractionQuerySet":
        """Admins see the retractions of their project."""
        return self.filter(project_id=membership.project_id) if membership.is_admin else self.none()


class Retraction(models.Model):
    """One decision that texts are trained on no more: one example, or all that a person wrote (`person`).

    What it took out points back to it: examples, preference pairs, tests. Undone, they still do, but are in use again.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="retractions")
    person = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", help_text="whose work it was")
    reason = models.TextField()
    by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    undone_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    undone_at = models.DateTimeField(null=True)

    objects = RetractionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"#{self.pk}"
