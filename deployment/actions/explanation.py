"""Why did it say that: the rows of its training that are nearest to an answer."""

import logging
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from deployment.models import Completion, Explanation
from deployment.states import ExplanationState
from deployment.tasks import explain as explain_task
from training.models import DatasetRow, DatasetVersion
from training.nearest import Text, nearest
from training.states import Split

logger = logging.getLogger(__name__)

N_ROWS = 8
LOST_AFTER = timedelta(minutes=10)  # whoever looked for it died


def ask_why(*, completion: Completion) -> Explanation | None:
    """Let a worker look for the nearest rows; return the one that is there already, None where nothing was learnt from rows."""
    version = version_of(completion)
    if version is None or not completion.response:
        return None
    now = timezone.now()
    with transaction.atomic():
        row, is_new = Explanation.objects.select_for_update().get_or_create(
            completion=completion, defaults={"version": version, "asked_at": now}
        )
        is_lost = row.state == ExplanationState.WAITING and row.asked_at < now - LOST_AFTER
        if not is_new and (is_lost or row.state == ExplanationState.FAILED):
            row.state, row.asked_at = ExplanationState.WAITING, now
            row.save()
            is_new = True
        if is_new:
            transaction.on_commit(lambda: explain_task.delay(row.pk), robust=True)
    return row


def version_of(completion: Completion) -> DatasetVersion | None:
    """Return what the answer's model was trained on; None for a base model."""
    model = completion.tuned_model
    return model.job.dataset_version if model and model.job else None


def explain(*, pk: int) -> None:
    """Look for the rows. Those that were held out taught nothing."""
    row = Explanation.objects.select_related("completion", "version").get(pk=pk)
    completion = row.completion
    try:
        found = nearest(completion.question, completion.response, _texts(row.version), n=N_ROWS)
    except Exception:
        logger.exception("explanation %s", pk)
        Explanation.objects.filter(pk=pk).update(state=ExplanationState.FAILED)
        return
    rows = [
        {"position": near.key} | {name: round(value, 3) for name, value in asdict(near).items() if name != "key"}
        for near in found
    ]
    Explanation.objects.filter(pk=pk).update(state=ExplanationState.DONE, rows=rows)


def _texts(version: DatasetVersion) -> Iterator[Text]:
    rows = DatasetRow.objects.filter(version=version, split=Split.TRAIN).order_by("position")
    for position, messages in rows.values_list("position", "messages").iterator(chunk_size=1000):
        if len(messages) > 1:
            yield Text(position, messages[-2]["content"], messages[-1]["content"])
