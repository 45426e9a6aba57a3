"""The log of answers as its project wants it: personal data taken out, texts of a share only, old answers deleted."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from common.states import record
from deployment.models import Completion, Conversation, Detection, LogSettings, ShadowAnswer
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
    """Treat the next answers that the detectors have seen and that are old enough. Returns how many they were.

    Personal data is looked for before anything is locked, for that takes time. What was rated, reported or otherwise set
    meanwhile counts: it is read once more under the lock.
    """
    if settings.kept_percent == 100 and not settings.redacts:
        return 0
    due = Completion.objects.filter(project=settings.project_id, is_tended=False, is_examined=True)
    due = due.filter(created_at__lt=timezone.now() - GRACE).exclude(state=CompletionState.STREAMING).order_by("pk")
    rows = list(due.prefetch_related("shadow_answers").select_related("conversation")[:BATCH])
    clean = {row.pk: _without_personal(row) for row in rows} if settings.redacts else {}
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=settings.project_id)
        if not LogSettings.objects.filter(
            pk=settings.pk, kept_percent=settings.kept_percent, redacts=settings.redacts
        ).exists():
            return 0  # changed meanwhile: the next run knows
        locked = Completion.objects.select_for_update(of=("self",)).filter(pk__in=[row.pk for row in rows])
        for row in locked.annotate(is_found=_there_is(Detection), is_copied=_there_is(ShadowAnswer)):
            if _is_emptied(row, settings.kept_percent):
                Completion.objects.filter(pk=row.pk).update(messages=[], response="")
            elif row.pk in clean:
                clean[row.pk].write()
        Completion.objects.filter(pk__in=[row.pk for row in rows]).update(is_tended=True)
    return len(rows)


def _is_emptied(row: Any, kept_percent: int) -> bool:
    """Whether the texts go. A hash of the conversation decides, so that its turns share their lot. What people or detectors
    have to do with stays whole."""
    is_kept = row.conversation_id or row.rating or row.case_id or row.is_stored or row.is_found or row.is_copied
    return not is_kept and not row.is_in_sample(kept_percent)


def _there_is(model: type[Detection] | type[ShadowAnswer]) -> Exists:
    return Exists(model._default_manager.filter(completion=OuterRef("pk")))


@dataclass(frozen=True)
class _Clean:
    """An answer without personal data, and what repeats its words: the chat's title, the copies in shadow."""

    row: Completion
    messages: list[dict[str, Any]]
    response: str
    title: str
    copies: dict[int, str]

    def write(self) -> None:
        Completion.objects.filter(pk=self.row.pk).update(messages=self.messages, response=self.response)
        if self.row.conversation_id:
            Conversation.objects.filter(pk=self.row.conversation_id).update(title=self.title)
        for pk, response in self.copies.items():
            ShadowAnswer.objects.filter(pk=pk).update(response=response)


def _without_personal(row: Completion) -> _Clean:
    return _Clean(
        row=row,
        messages=redact_turns(row.messages),
        response=redact(row.response),
        title=redact(row.conversation.title)[:120] if row.conversation else "",
        copies={copy.pk: redact(copy.response) for copy in row.shadow_answers.all()},
    )


def redact(text: str) -> str:
    """Return the text with each piece of personal data as its kind in brackets."""
    for what, words in sorted(find_personal(text), key=lambda found: -len(found[1])):
        text = text.replace(words, f"[{what}]")
    return text


def redact_turns(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the conversation without personal data."""
    return [
        turn | {"content": redact(turn["content"])} if isinstance(turn.get("content"), str) else turn
        for turn in messages
    ]


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
