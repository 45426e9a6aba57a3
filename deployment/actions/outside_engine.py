"""Engines outside: which there are, what they answer for, and how they are."""

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from common.seal import seal
from common.states import record
from deployment import outside_engine
from deployment.actions.errors import EngineError, NameTaken
from deployment.models import OutsideEngine, ServedModel
from deployment.queries.routing import PURPOSE, place_at
from deployment.states import EngineKind
from labeling.models import Project, User
from training.models import BaseModel, TunedModel

LOOK_EVERY = timedelta(seconds=30)
LOOK_AT_LEAST_EVERY = timedelta(minutes=10)


def save_engine(
    *, project: Project, name: str, kind: EngineKind, url: str, key: str, by: User, engine: OutsideEngine | None = None
) -> OutsideEngine:
    """Add an engine, or change one; an empty key leaves the one that it has. Raises NameTaken."""
    row = engine or OutsideEngine(project=project)
    before = f"{row.name}: {row.url}" if engine else ""
    row.name, row.kind, row.url, row.next_look_at = name.strip(), kind, url.rstrip("/"), None
    row.sealed_key = seal(key, purpose=PURPOSE) if key else row.sealed_key
    try:
        with transaction.atomic():
            row.save()
            changed = " (with another key)" if key and engine else ""
            record(row, what="engine", before=before, after=f"{row.name}: {row.url}{changed}", by=by)
    except IntegrityError:
        raise NameTaken(_("There is an engine of that name already.")) from None
    look_at(row)
    return row


@transaction.atomic
def delete_engine(*, engine: OutsideEngine, by: User) -> None:
    """Forget an engine. The models that it answered for are answered by the embedded engine from then on."""
    record(engine, what="engine", before=f"{engine.name}: {engine.url}", after="deleted", by=by)
    engine.delete()


def serve(*, engine: OutsideEngine, model: TunedModel | BaseModel, served_name: str, by: User) -> ServedModel:
    """Let the engine answer for the model from the next request on; running answers are finished where they began."""
    which = {"tuned_model": model} if isinstance(model, TunedModel) else {"base_model": model}
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=engine.project_id)
        before = ServedModel.objects.filter(project=engine.project_id, **which).select_related("engine").first()
        row, _is_new = ServedModel.objects.update_or_create(
            project=engine.project, **which, defaults={"engine": engine, "served_name": served_name.strip()}
        )
        was = f"{before.engine.name}: {before.served_name}" if before else "the embedded engine"
        after = f"{row.model_name} by {engine.name}: {row.served_name}"
        record(engine, what="engine of a model", before=was, after=after, by=by)
    return row


@transaction.atomic
def stop_serving(*, served: ServedModel, by: User) -> None:
    """Let the embedded engine answer for the model again."""
    record(
        served.engine,
        what="engine of a model",
        before=f"{served.model_name} by {served.engine.name}: {served.served_name}",
        after="the embedded engine",
        by=by,
    )
    served.delete()


def look_at_engines() -> int:
    """Look at the engines whose turn it is; return how many they were. One that is away keeps no other from being looked at."""
    due = OutsideEngine.objects.filter(Q(next_look_at=None) | Q(next_look_at__lte=timezone.now()))
    rows = list(due)
    for row in rows:
        look_at(row)
    return len(rows)


def look_at(engine: OutsideEngine) -> None:
    """Ask an engine what it serves and how it is; after failures the next look is later each time."""
    place, now = place_at(engine), timezone.now()
    fields: dict[str, object] = {"looked_at": now, "n_failures": 0, "problem": ""}
    try:
        fields["served_names"] = outside_engine.served_names(place)[:200]
        fields["figures"] = _figures(engine, outside_engine.load_figures(place), now.timestamp())
    except EngineError as error:
        fields |= {"n_failures": engine.n_failures + 1, "problem": str(error)[:500]}
    wait = min(LOOK_EVERY * 2 ** min(int(str(fields["n_failures"])), 6), LOOK_AT_LEAST_EVERY)
    OutsideEngine.objects.filter(pk=engine.pk).update(**fields, next_look_at=now + wait)


def _figures(engine: OutsideEngine, found: dict[str, float], at: float) -> dict[str, float]:
    """Add tokens per second since the last look, where the engine counts its tokens."""
    if "n_written" in found:
        before = engine.figures
        found["at"] = at
        if before.get("at") and found["n_written"] >= before.get("n_written", 0.0):
            found["tokens_per_s"] = (found["n_written"] - before["n_written"]) / max(at - before["at"], 1.0)
    return found
