"""Which model of a deployment answers a conversation. The same conversation always meets the same one."""

import hashlib
import json
from collections.abc import Sequence

from common.compiled import Compiled
from common.conversations import Message
from common.seal import unseal
from deployment.models import Deployment, OutsideEngine, ServedModel
from deployment.outside_engine import Place
from deployment.states import EngineKind, Stage
from labeling.models import Project
from training.models import BaseModel, TunedModel

N_BUCKETS = 10_000
PURPOSE = "engine"  # what an engine's key is sealed for
_SERVED = ServedModel.objects.select_related("engine")
_TUNED = Compiled(lambda project, model: _SERVED.filter(project_id=project, tuned_model_id=model), int, int)
_BASE = Compiled(lambda project, model: _SERVED.filter(project_id=project, base_model_id=model), int, int)


def choose_model(deployment: Deployment, *, thread: str) -> TunedModel | BaseModel:
    """Return the canary for its share of the conversations, else what is live; without a thread always what is live.

    Where the share grows, the conversations that the canary has already stay with it. Each candidate has other
    conversations than the one before, so that nobody is always the first to meet what is new.
    """
    candidate = deployment.candidate_model
    live = deployment.live_model or deployment.base_model
    if candidate is None or deployment.stage != Stage.CANARY or not thread:
        return live
    bucket = _bucket(f"{deployment.pk}:{candidate.pk}:{thread}")
    return candidate if bucket * 100 < deployment.canary_percent * N_BUCKETS else live


def place_of(project_pk: int, model: TunedModel | BaseModel) -> Place | None:
    """Return where an outside engine answers for the model in this project; None where the embedded one does."""
    served = (_TUNED if isinstance(model, TunedModel) else _BASE).first(project_pk, model.pk)
    return place_at(served.engine, served.served_name) if served else None


def engines_outside(project: Project) -> dict[str, str]:
    """Return the engine's name for each model, by its name, that is answered outside."""
    rows = ServedModel.objects.filter(project=project).select_related("engine", "tuned_model", "base_model")
    return {row.model_name: row.engine.name for row in rows}


def place_at(engine: OutsideEngine, served_name: str = "") -> Place:
    """Return a model's place at an engine."""
    key = unseal(engine.sealed_key, purpose=PURPOSE) if engine.sealed_key else ""
    return Place(engine.url, key, served_name, is_vllm=engine.kind == EngineKind.VLLM)


def thread_of(*names: object) -> str:
    """Return the thread of a conversation that is known by these names together."""
    return hashlib.sha256(json.dumps([str(name) for name in names]).encode()).hexdigest()[:16]


def thread_of_messages(messages: Sequence[Message], *names: object) -> str:
    """Return the thread of a conversation that has no name: what it begins with, up to the first word of a user.

    All later turns of it begin with the same. `names` are added, whose conversation it is for example.
    """
    first = next((i for i, message in enumerate(messages) if message["role"] == "user"), len(messages) - 1)
    return thread_of(*names, *(part for m in messages[: first + 1] for part in (m["role"], m["content"])))


def _bucket(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % N_BUCKETS
