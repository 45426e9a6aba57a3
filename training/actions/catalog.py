"""The catalog of base models."""

import json
from typing import Any

from django.conf import settings
from django.db import transaction

from training.models import BaseModel
from training.states import BaseModelSource

BUNDLED_SLUG = "smollm2-135m-instruct"


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


def _read_facts(location: str) -> dict[str, Any]:
    path = settings.MODELS_DIR / location / "emend.json"
    return json.loads(path.read_text()) if path.is_file() else {}
