"""Which model of a deployment answers a conversation. The same conversation always meets the same one."""

import hashlib
import json
from collections.abc import Sequence

from common.conversations import Message
from deployment.models import Deployment
from deployment.states import Stage
from training.models import BaseModel, TunedModel

N_BUCKETS = 10_000


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
