"""The log of answers as its project wants it: personal data taken out, texts of a share only, old answers deleted."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from common.states import record
from deployment.models import Completion, Conversation, LogSettings
from deployment.states import CompletionState
from labeling.findings.personal import find_personal
from labeling.models import Project, User

GRACE = timedelta(hours=1)  # so long a conversation may go on, and an answer be reported word for word
BATCH = 200
MOST_BATCHES = 50  # of one project in one run; the next sweep goes on
FIELDS = ("retention_days", "kept_percent", "redacts")


def care_for_logs() -> int:
    """Treat what has become due in every project with settings; return how many answers were treated or deleted."""
    n = 0
    for settings in LogSettings.objects.select_related("project"):
        for batch in (_tend, _delete_old):
            for _number in range(MOST_BATCHES):
                n_done = batch(settings)
                n += n_done
                if n_done < BATCH:
                    break
    return n


def change_log_settings(*, project: Project, by: User | None = None, **values: Any) -> LogSettings:
    """Set values of FIELDS. They hold for what is in the log already, too; what was taken out does not come back."""
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        settings = LogSettings.of(project)
        before = {name: getattr(settings, name) for name in FIELDS}
        for name in FIELDS:
            setattr(settings, name, values.get(name, before[name]))
        settings.save()
        for name in FIELDS:
            now = getattr(settings, name)
            if now != before[name]:
                record(settings, what=f"log: {name}", before=str(before[name]), after=str(now), by=by)
        if (settings.kept_percent, settings.redacts) != (before["kept_percent"], before["redacts"]):
            Completion.objects.filter(project=project, is_tended=True).update(is_tended=False)
    return settings


def _tend(settings: LogSettings) -> int:
    """Treat the next answers that the detectors have seen and that are old enough. Returns how many they were."""
    if settings.kept_percent == 100 and not settings.redacts:
        return 0
    due = Completion.objects.filter(project=settings.project_id, is_tended=False, is_examined=True)
    due = due.filter(created_at__lt=timezone.now() - GRACE).exclude(state=CompletionState.STREAMING).order_by("pk")
    rows = list(due[:BATCH])
    for row in rows:
        if _is_emptied(row, settings.kept_percent):
            row.messages, row.response = [], ""
        elif settings.redacts:
            row.messages = [_redacted(turn) for turn in row.messages]
            row.response = redact(row.response)
        row.is_tended = True
    with transaction.atomic():
        Completion.objects.bulk_update(rows, ["messages", "response", "is_tended"])
    return len(rows)


def _is_emptied(row: Completion, kept_percent: int) -> bool:
    """Whether the texts go. A hash of the conversation decides, so that its turns share their lot."""
    is_kept = row.conversation_id or row.rating or row.case_id or row.is_stored
    return not is_kept and not row.is_in_sample(kept_percent)


def redact(text: str) -> str:
    """Return the text with each piece of personal data as its kind in brackets."""
    for what, words in sorted(find_personal(text), key=lambda found: -len(found[1])):
        text = text.replace(words, f"[{what}]")
    return text


def _redacted(turn: dict[str, Any]) -> dict[str, Any]:
    return turn | {"content": redact(turn["content"])} if isinstance(turn.get("content"), str) else turn


def _delete_old(settings: LogSettings) -> int:
    """Delete the next answers that are past their time. Returns how many they were."""
    if settings.retention_days is None:
        return 0
    before = timezone.now() - timedelta(days=settings.retention_days)
    old = _deletable(Completion.objects.filter(project=settings.project_id, created_at__lt=before))
    pks = list(old.order_by("pk").values_list("pk", flat=True)[:BATCH])
    with transaction.atomic():
        Completion.objects.filter(pk__in=pks).delete()
        if len(pks) < BATCH:
            _delete_empty_chats(settings.project_id, before)
    return len(pks)


def _deletable(rows: "QuerySet[Completion]") -> "QuerySet[Completion]":
    """Leave out what is evidence: the answer of a case, and what a detector found in it."""
    return rows.filter(case=None, detections=None).exclude(state=CompletionState.STREAMING)


def _delete_empty_chats(project_pk: int, before: datetime) -> None:
    Conversation.objects.filter(completions=None, project=project_pk, updated_at__lt=before).delete()
