"""A model as judge of two answers: asked twice with the order swapped, and measured against people before it counts."""

import asyncio
import re
from contextlib import aclosing

from django.db import transaction
from django.utils import timezone

from common.states import record
from deployment import outside_engine
from deployment.actions.errors import EngineError
from deployment.engine import AnswerEnd
from deployment.models import Judge, JudgeVerdict, OutsideEngine
from deployment.outside_engine import Place
from deployment.queries.routing import place_at
from deployment.states import JudgeOutcome
from labeling.models import Comparison, Project, User
from labeling.states import ComparisonState

AT_ONCE = 4
PER_RUN = 20  # comparisons of one project; the next sweep goes on
PARAMETERS = {"temperature": 0, "max_tokens": 400}
LONGEST = 12_000  # characters of each text that are shown
TASK = """You compare two answers to the same conversation. Judge which one a careful reviewer would accept: right, helpful, \
harmless, and as the conversation asks. Neither the order nor the length of the answers says anything.

Say in one or two sentences what decides. Then write a last line that is exactly one of:
VERDICT: 1
VERDICT: 2
VERDICT: SAME"""
_VERDICT = re.compile(r"VERDICT:\s*\**\s*(1|2|SAME)\b", re.I)


@transaction.atomic
def set_judge(
    *, project: Project, engine: OutsideEngine | None, served_name: str = "", is_on: bool = True, by: User
) -> Judge | None:
    """Choose the judge; without an engine there is none. Verdicts stay with the name of the model that gave them."""
    Project.objects.select_for_update().get(pk=project.pk)
    before = Judge.objects.filter(project=project).select_related("engine").first()
    was = f"{before.served_name} at {before.engine.name}" if before else "none"
    if engine is None:
        Judge.objects.filter(project=project).delete()
        record(project, what="judge", before=was, after="none", by=by)
        return None
    fields = {"engine": engine, "served_name": served_name.strip(), "is_on": is_on}
    judge, _is_new = Judge.objects.update_or_create(project=project, defaults=fields)
    after = f"{judge.served_name} at {engine.name}{'' if is_on else ' (off)'}"
    if after != was:
        record(project, what="judge", before=was, after=after, by=by)
    return judge


def judge_comparisons() -> int:
    """Ask the judges what they have not been asked; return how many verdicts came. One that is away is asked again later."""
    n = 0
    for judge in Judge.objects.filter(is_on=True).select_related("engine", "project"):
        judged = JudgeVerdict.objects.filter(judge_name=judge.served_name).values("comparison")
        rows = Comparison.objects.filter(project=judge.project_id).exclude(state=ComparisonState.RETIRED)
        waiting = list(rows.exclude(pk__in=judged).order_by("pk")[:PER_RUN])
        if waiting:
            place = place_at(judge.engine, judge.served_name)
            for comparison, words in zip(waiting, asyncio.run(_ask_all(place, waiting)), strict=True):
                if words is not None:
                    n += _keep(judge, comparison, words)
    return n


def _keep(judge: Judge, comparison: Comparison, words: tuple[str, str]) -> bool:
    values = {"outcome": outcome_of(*words), "words": [each[:4000] for each in words], "at": timezone.now()}
    return JudgeVerdict.objects.get_or_create(comparison=comparison, judge_name=judge.served_name, defaults=values)[1]


def outcome_of(first: str, second: str) -> JudgeOutcome:
    """Return what both answers of the judge together say. In the first, A is 1; in the second, A is 2."""
    one, two = _read(first), _read(second)
    if one is None or two is None:
        return JudgeOutcome.UNREADABLE
    in_first = {"1": JudgeOutcome.A, "2": JudgeOutcome.B, "SAME": JudgeOutcome.SAME}[one]
    in_second = {"1": JudgeOutcome.B, "2": JudgeOutcome.A, "SAME": JudgeOutcome.SAME}[two]
    return in_first if in_first == in_second else JudgeOutcome.TURNED


def _read(words: str) -> str | None:
    found = _VERDICT.findall(words)
    return found[-1].upper() if found else None


def prompt_of(comparison: Comparison, *, is_swapped: bool) -> str:
    """Return what the judge reads. Texts are fenced, and what would close the fence is taken out of them."""
    answers = [comparison.answer_a, comparison.answer_b]
    if is_swapped:
        answers.reverse()
    said = "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in comparison.messages)
    parts = (("conversation", said), ("answer 1", answers[0]), ("answer 2", answers[1]))
    return "\n\n".join([TASK, *(_fenced(name, text) for name, text in parts)])


def _fenced(name: str, text: str) -> str:
    return f"<<<{name}\n{text[:LONGEST].replace('<<<', '').replace('>>>', '')}\n>>>"


async def _ask_all(place: Place, comparisons: list[Comparison]) -> list[tuple[str, str] | None]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def both(comparison: Comparison) -> tuple[str, str] | None:
        async with gate:
            try:
                return (
                    await _ask(place, prompt_of(comparison, is_swapped=False)),
                    await _ask(place, prompt_of(comparison, is_swapped=True)),
                )
            except EngineError:
                return None

    return list(await asyncio.gather(*map(both, comparisons)))


async def _ask(place: Place, prompt: str) -> str:
    parts: list[str] = []
    answer = outside_engine.stream_answer(
        place=place, messages=[{"role": "user", "content": prompt}], parameters=PARAMETERS
    )
    async with aclosing(answer):
        async for part in answer:
            if not isinstance(part, AnswerEnd):
                parts.append(part)
    return "".join(parts)
