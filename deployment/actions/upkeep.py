"""What the periodic sweep does: it finds what a crash or a restart left behind."""

import logging
from datetime import timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from deployment import engine, tasks
from deployment.actions.batch import next_batch
from deployment.actions.cycle import advance_cycle
from deployment.actions.errors import EngineError
from deployment.actions.shadow import end_abandoned_shadows
from deployment.health import SWEEP_FILE
from deployment.models import Completion, Cycle, Deployment
from deployment.queries import cycles_at_work, warm_models
from deployment.states import CompletionState, Stage
from training.actions.artefacts import fetch_model
from training.models import TunedModel

logger = logging.getLogger(__name__)

ABANDONED_AFTER = timedelta(minutes=10)
N_WARM = 3  # one less than the engine holds by default, so that chats with other models do not push live ones out


def sweep() -> None:
    """Nudge the cycles, end abandoned answers, load live models. Each part works without the others."""
    for cycle in cycles_at_work():
        tasks.advance.apply_async((cycle.pk,), expires=10)
    if next_batch() is not None:
        tasks.run_batches.apply_async(expires=10)
    if Deployment.objects.filter(stage=Stage.SHADOW).exists():
        tasks.run_shadows.apply_async(expires=3)
    if Completion.objects.to_examine().exists():
        tasks.examine_answers.apply_async(expires=10)
    end_abandoned()
    end_abandoned_shadows()
    keep_loaded()
    (settings.VAR_DIR / SWEEP_FILE).touch()


def advance_one(*, cycle_pk: int) -> None:
    """Take the cycle's steps until it waits for something."""
    cycle = Cycle.objects.select_related("project").get(pk=cycle_pk)
    while advance_cycle(cycle=cycle):
        logger.info("cycle %s of %s is %s", cycle.number, cycle.project.slug, cycle.state)


def end_abandoned() -> int:
    """Mark answers as failed that nobody writes any more, since their web process died. Returns how many."""
    limit = timezone.now() - ABANDONED_AFTER
    rows = Completion.objects.filter(state=CompletionState.STREAMING, created_at__lt=limit)
    keys = list(rows.values_list("pk", flat=True))
    if not keys:  # an empty UPDATE would take SQLite's write lock for nothing
        return 0
    reason = _("The answer was cut off when the server stopped.")
    return rows.filter(pk__in=keys).update(state=CompletionState.FAILED, error=reason)


def keep_loaded() -> None:
    """Ask for the live models and candidates that the engine does not hold. One that failed to load is left for a person to see."""
    try:
        held = {model["name"] for model in engine.read_health().get("models", [])}
    except EngineError:
        return
    for model in warm_models(limit=N_WARM):
        name = model.name if isinstance(model, TunedModel) else model.slug
        if name in held:
            continue
        try:
            path = engine.relative_path(model.folder)
        except EngineError:
            continue
        if isinstance(model, TunedModel):
            fetch_model(model=model)
        if model.folder.is_dir():
            tasks.load_model.apply_async((name, path), expires=30)
            held.add(name)


def warm_up(*, name: str, path: str) -> None:
    """Load the model; an engine that is away or refuses is left for the next sweep."""
    try:
        engine.load_model(name=name, path=path)
    except EngineError as error:
        logger.warning("%s is not loaded: %s", name, error)
