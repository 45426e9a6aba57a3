"""The shadow: copies of real prompts, answered by the candidate when the engine has time, and judged by reviewers."""

import asyncio
import hashlib
import logging
import time
from contextlib import aclosing
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from common.states import record
from deployment import engine
from deployment.actions.chat import report_completion
from deployment.actions.errors import EngineError, JudgedAlready
from deployment.gateway import ENGINE_PARAMETERS, ask, route_to
from deployment.models import Completion, Deployment, ShadowAnswer
from deployment.states import CompletionState, ShadowVerdict, Stage
from labeling.models import User
from labeling.states import Reason, Source
from training.models import TunedModel

logger = logging.getLogger(__name__)

LOOKS_BACK = timedelta(minutes=10)  # an older prompt is not caught up on
N_LOOKED_AT = 50
ABANDONED_AFTER = timedelta(minutes=10)


def run_shadows() -> int:
    """Answer what is due, one after the other, as long as nobody waits for the engine; return how many were answered."""
    rows = Deployment.objects.filter(stage=Stage.SHADOW)
    n_answered = 0
    for deployment in rows.select_related("project", "live_model", "candidate_model", "base_model"):
        while _engine_has_time() and (shadow := begin_shadow(deployment=deployment)) is not None:
            answer_shadow(shadow=shadow)
            n_answered += 1
    return n_answered


def begin_shadow(*, deployment: Deployment) -> ShadowAnswer | None:
    """Return the row of the next copy to be answered; None where none is due or the pace is reached.

    Of the live model's answers of the last minutes a share is taken, chosen by their keys.
    """
    now, model = timezone.now(), deployment.candidate_model
    if model is None or deployment.stage != Stage.SHADOW or deployment.stage_since is None:
        return None
    lately = ShadowAnswer.objects.filter(deployment=deployment, created_at__gte=now - timedelta(minutes=1))
    if lately.count() >= deployment.shadow_per_minute:
        return None
    rows = Completion.objects.filter(project=deployment.project_id, deployment=deployment, state=CompletionState.DONE)
    rows = rows.filter(created_at__gte=max(deployment.stage_since, now - LOOKS_BACK), tuned_model=deployment.live_model)
    rows = rows.exclude(response="").exclude(shadow_answers__tuned_model=model)
    for completion in rows.order_by("-pk")[:N_LOOKED_AT]:
        if _bucket(completion.key) < deployment.shadow_percent:
            try:
                with transaction.atomic():
                    return ShadowAnswer.objects.create(
                        project=deployment.project, deployment=deployment, completion=completion, tuned_model=model
                    )
            except IntegrityError:  # another worker has it
                continue
    return None


def answer_shadow(*, shadow: ShadowAnswer) -> None:
    """Let the candidate answer, with the parameters of the live answer. What goes wrong is kept, not raised."""
    completion, model = shadow.completion, shadow.tuned_model
    parameters = {name: completion.parameters[name] for name in ENGINE_PARAMETERS if name in completion.parameters}
    parameters.pop("logprobs", None)
    began = time.monotonic()
    try:
        text, end = asyncio.run(_read(model, completion, parameters))
    except EngineError as error:
        fields: dict[str, Any] = {"state": CompletionState.FAILED, "error": str(error)[:500]}
    else:
        fields = {
            "state": CompletionState.DONE,
            "response": text,
            "is_same": text.strip() == completion.response.strip(),
            "finish_reason": end.finish_reason,
            "n_completion_tokens": end.n_completion_tokens,
        }
    fields["duration_s"] = round(time.monotonic() - began, 3)
    ShadowAnswer.objects.filter(pk=shadow.pk).update(**fields)
    for name, value in fields.items():
        setattr(shadow, name, value)


def judge_shadow(*, shadow: ShadowAnswer, verdict: ShadowVerdict, by: User, opens_case: bool = False) -> None:
    """Keep what a reviewer makes of the difference. Where both are wrong, or `opens_case` says that the live answer is,
    the live answer becomes a case. Raises JudgedAlready."""
    with transaction.atomic():
        rows = ShadowAnswer.objects.filter(pk=shadow.pk, verdict="")
        if not rows.update(verdict=verdict, judged_by=by, judged_at=timezone.now()):
            raise JudgedAlready(_("Somebody else judged it first. Here is the next one."))
        shadow.verdict = verdict
        record(shadow, what="shadow answer", after=verdict.value, by=by)
        if verdict == ShadowVerdict.BOTH_WRONG or opens_case:
            report_completion(completion=shadow.completion, reason=Reason.WRONG, by=by, source=Source.CHAT)


def end_abandoned_shadows() -> None:
    """Give up copies whose worker died."""
    rows = ShadowAnswer.objects.filter(state=CompletionState.STREAMING, created_at__lt=timezone.now() - ABANDONED_AFTER)
    if rows.exists():
        rows.update(state=CompletionState.FAILED)


async def _read(
    model: TunedModel, completion: Completion, parameters: dict[str, object]
) -> tuple[str, engine.AnswerEnd]:
    parts: list[str] = []
    route = await sync_to_async(route_to)(model)
    answer = ask(route, messages=completion.messages, parameters=parameters)
    async with aclosing(answer):
        async for part in answer:
            if isinstance(part, engine.AnswerEnd):
                return "".join(parts), part
            parts.append(part)
    raise AssertionError("stream_answer raises when the last line is missing")


def _engine_has_time() -> bool:
    """Whether no request waits for the engine: real ones come first."""
    try:
        models = engine.read_health().get("models", [])
    except EngineError:
        return False
    return not any(model.get("n_waiting") for model in models)


def _bucket(key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"shadow:{key}".encode()).digest()[:8]) % 100
