import json

from django.conf import settings

from tests.factories import BaseModelFactory
from training.actions.catalog import BUNDLED_SLUG, ensure_bundled_base_model
from training.models import BaseModel


def test_the_bundled_model_is_entered_once_and_completed_when_its_weights_are_there(db) -> None:
    entry = ensure_bundled_base_model()
    assert (entry.slug, entry.is_default, entry.is_ready, entry.n_parameters) == (BUNDLED_SLUG, True, False, None)
    entry.folder.mkdir(parents=True)
    facts = {
        "name": "SmolLM2-135M-Instruct",
        "n_parameters": 134515008,
        "context_length": 8192,
        "licence": "Apache-2.0",
    }
    (entry.folder / "emend.json").write_text(json.dumps(facts))
    (entry.folder / "config.json").write_text("{}")
    again = ensure_bundled_base_model()
    assert again.pk == entry.pk
    assert (again.n_parameters, again.context_tokens, again.is_ready) == (134515008, 8192, True)
    assert again.folder == settings.MODELS_DIR / BUNDLED_SLUG


def test_a_default_that_somebody_chose_stays(db) -> None:
    BaseModelFactory(slug="other", is_default=True)
    ensure_bundled_base_model()
    assert BaseModel.objects.get(is_default=True).slug == "other"
