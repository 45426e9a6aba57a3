from django.db import transaction

from common.states import record
from labeling.models import User
from training.models import DatasetVersion


def change_note(*, version: DatasetVersion, note: str, by: User | None = None) -> None:
    """Write another note on a version; its rows stay as they are."""
    with transaction.atomic():
        row = DatasetVersion.objects.select_for_update().get(pk=version.pk)
        if row.note != note:
            record(row, what="note", before=row.note, after=note, by=by)
            DatasetVersion.objects.filter(pk=row.pk).update(note=note)
    version.note = note
