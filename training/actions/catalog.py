"""The catalog of base models."""

import json
import os
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from common.states import record
from labeling.models import Project, User
from training.actions.errors import BaseModelNotReady, NameTaken, TooLittleMemory
from training.models import BaseModel, ProjectBaseModel
from training.states import PREFERENCE_METHODS, BaseModelSource, BaseModelState, JobTuning

BUNDLED_SLUG = "smollm2-135m-instruct"
GB = 1024**3
# Bytes for each parameter: weights, and where they are trained their gradients and two moments, all in 32 bits. QLoRA
# holds the weights in four bits. Activations come on top; the preflight of a job counts them with its rows.
BYTES_FULL, BYTES_LORA, BYTES_QLORA = 16.0, 4.0, 0.6
BYTES_REFERENCE = 4.0  # a copy of the weights as they were, for preferences


def ensure_bundled_base_model() -> BaseModel:
    """Return the catalog entry of the bundled base model; make or complete it where needed.

    The entry exists before the weights do (`is_ready` says whether they are there); once they are, their `emend.json`
    tells name, size and licence. It becomes the default unless the catalog has one.
    """
    facts = _read_facts(BUNDLED_SLUG)
    fields = {
        "name": facts.get("name", "SmolLM2-135M-Instruct"),
        "source": BaseModelSource.BUNDLED,
        "location": BUNDLED_SLUG,
        "n_parameters": facts.get("n_parameters"),
        "context_tokens": facts.get("context_length", 2048),
        "licence": facts.get("licence", "Apache-2.0"),
    }
    with transaction.atomic():
        base_model, is_new = BaseModel.objects.get_or_create(slug=BUNDLED_SLUG, defaults=fields)
        changed = {} if is_new or not facts else {k: v for k, v in fields.items() if getattr(base_model, k) != v}
        if not BaseModel.objects.filter(is_default=True).exists():
            changed["is_default"] = True
        if changed:
            BaseModel.objects.filter(pk=base_model.pk).update(**changed)
            base_model.refresh_from_db()
    return base_model


def add_base_model(
    *, slug: str, name: str, source: str, location: str, by: User, aliases: Sequence[str] = (), **fields: Any
) -> BaseModel:
    """Enter a folder or a model of a Hub into the catalog. Its weights are looked at by a pull. Raises NameTaken."""
    with transaction.atomic():
        _refuse_taken(slug)
        base_model = BaseModel.objects.create(slug=slug, name=name, source=source, location=location, **fields)
        record(base_model, what="base model", after=f"{slug}: {source} {location}", by=by)
        set_aliases(base_model=base_model, aliases=aliases, by=by)
    return base_model


def edit_base_model(
    *,
    base_model: BaseModel,
    by: User,
    name: str,
    aliases: Sequence[str],
    training_price: Decimal,
    inference_price: Decimal,
    licence: str,
    is_default: bool,
) -> None:
    """Change what people have a say in. One that becomes the default takes that from the other. Raises NameTaken."""
    fields = {
        "name": name,
        "training_price": training_price,
        "inference_price": inference_price,
        "licence": licence,
        "is_default": is_default or base_model.is_default,
    }
    with transaction.atomic():
        row = BaseModel.objects.select_for_update().get(pk=base_model.pk)
        before = {name: getattr(row, name) for name in fields}
        changed = {name: value for name, value in fields.items() if value != before[name]}
        if changed:
            if changed.get("is_default"):
                BaseModel.objects.filter(is_default=True).update(is_default=False)
            BaseModel.objects.filter(pk=row.pk).update(**changed)
            record(row, what="base model", before=_words(before, changed), after=_words(fields, changed), by=by)
        set_aliases(base_model=row, aliases=aliases, by=by)
    base_model.refresh_from_db()


def set_aliases(*, base_model: BaseModel, aliases: Sequence[str], by: User | None = None) -> None:
    """Let these names, and no others, point to the entry. An alias of another entry moves here. Raises NameTaken."""
    wanted = sorted(set(aliases))
    with transaction.atomic():
        for alias in wanted:
            _refuse_taken(alias, counts_aliases=False)
        for other in BaseModel.objects.select_for_update().exclude(pk=base_model.pk):
            kept = [alias for alias in other.aliases if alias not in wanted]
            if kept != other.aliases:
                record(other, what="aliases", before=", ".join(other.aliases), after=", ".join(kept), by=by)
                BaseModel.objects.filter(pk=other.pk).update(aliases=kept)
        if wanted != sorted(base_model.aliases):
            record(base_model, what="aliases", before=", ".join(base_model.aliases), after=", ".join(wanted), by=by)
            BaseModel.objects.filter(pk=base_model.pk).update(aliases=wanted)
            base_model.aliases = wanted


def choose_default(*, project: Project, base_model: BaseModel | None, by: User) -> None:
    """Let the project's jobs begin with this base model; None: with the default of the catalog."""
    with transaction.atomic():
        before = ProjectBaseModel.objects.filter(project=project).select_related("base_model").first()
        if base_model is None:
            ProjectBaseModel.objects.filter(project=project).delete()
        else:
            ProjectBaseModel.objects.update_or_create(project=project, defaults={"base_model": base_model})
        names = {"before": before.base_model.slug if before else "", "after": base_model.slug if base_model else ""}
        record(project, what="base model", by=by, project_pk=project.pk, **names)


def refuse_unready(base_model: BaseModel, *, method: str, tuning: str = JobTuning.AUTO) -> None:
    """Raise BaseModelNotReady or TooLittleMemory, with a sentence, where a job could not even begin."""
    if base_model.state == BaseModelState.FAILED:
        raise BaseModelNotReady(base_model.problem)
    if not base_model.is_ready:
        raise BaseModelNotReady
    needed = training_memory_bytes(base_model, method=method, tuning=tuning)
    there = settings.TRAINING_MEMORY_GB * GB or _memory_bytes()
    if needed and there and needed > there:
        sentence = _(
            "Training %(name)s this way takes at least %(needed)s GB of memory, and the machine has %(there)s GB. "
            "Choose a smaller base model, or LoRA."
        )
        values = {"name": base_model.name, "needed": f"{needed / GB:.1f}", "there": f"{there / GB:.1f}"}
        raise TooLittleMemory(sentence % values)


def training_memory_bytes(base_model: BaseModel, *, method: str, tuning: str) -> int | None:
    """Return the least that the weights and what is kept for them take; None where the size is unknown."""
    if base_model.n_parameters is None:
        return None
    each = {JobTuning.FULL: BYTES_FULL, JobTuning.QLORA: BYTES_QLORA}.get(JobTuning(tuning), BYTES_LORA)
    if tuning == JobTuning.FULL and method in PREFERENCE_METHODS:
        each += BYTES_REFERENCE
    return int(base_model.n_parameters * each)


def _memory_bytes() -> int:
    """Return the memory of this machine, 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def _refuse_taken(name: str, *, counts_aliases: bool = True) -> None:
    if BaseModel.objects.filter(slug=name).exists():
        raise NameTaken
    if counts_aliases and any(name in other.aliases for other in BaseModel.objects.all()):
        raise NameTaken


def _words(values: dict[str, Any], names: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {values[name]}" for name in names)


def _read_facts(location: str) -> dict[str, Any]:
    path = settings.MODELS_DIR / location / "emend.json"
    return json.loads(path.read_text()) if path.is_file() else {}
