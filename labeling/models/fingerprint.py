from django.db import models
from django.db.models import Q

from labeling.models.example import Example
from labeling.models.work import Submission


class Fingerprint(models.Model):
    """What near-duplicates of one submission's or example's text are found by. `part`: answer or prompt, as written."""

    submission = models.ForeignKey(Submission, models.CASCADE, null=True, related_name="fingerprints")
    example = models.ForeignKey(Example, models.CASCADE, null=True, related_name="fingerprints")
    part = models.CharField(max_length=6)
    sketch = models.BinaryField(help_text="the MinHash values, by which the overlap is estimated before a text is read")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(submission__isnull=False) ^ Q(example__isnull=False), name="fingerprint_of_one_thing"
            ),
        ]


class FingerprintBand(models.Model):
    """One band of a fingerprint: texts that share a key are perhaps nearly the same.

    There are twelve for each fingerprint, so the row is kept small: its key is its index, and the database does not check
    the reference, which is written in the same transaction and deleted with the fingerprint.
    """

    pk = models.CompositePrimaryKey("key", "fingerprint_id")
    key = models.BigIntegerField()
    fingerprint = models.ForeignKey(
        Fingerprint, models.CASCADE, related_name="bands", db_index=False, db_constraint=False
    )
