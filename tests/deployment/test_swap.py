"""Sixteen streams at once while models are swapped, canaries come and go and the engine dies.

Each request is answered by exactly one model, wholly, or fails cleanly before its first token; the log names the model
that answered, and nothing is missing in it.
"""

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from deployment import going_on
from deployment.actions.candidate import promote, set_canary, withdraw
from deployment.actions.release import deploy_model, roll_back
from deployment.models import Completion
from deployment.states import CompletionState
from labeling.actions.api_key import create_key
from tests.deployment.conftest import make_model
from tests.deployment.stub_engine import StubEngine

pytestmark = pytest.mark.django_db(transaction=True)
N_STREAMS = 16


class Asker:
    """Streams over /v1, as a client would; `texts` has each answer as the client read it, None for one that was refused."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.tasks: list[asyncio.Task] = []
        self.refused: list[int] = []
        self.texts: dict[str, str] = {}
        self.cut_off: list[str] = []
        self.n_begun = 0

    def begin(self, n: int) -> None:
        self.tasks += [asyncio.create_task(self._ask(len(self.tasks) + number)) for number in range(n)]

    async def under_way(self, n: int) -> None:
        """Return when so many answers in all have begun to arrive."""
        while self.n_begun < n:
            await asyncio.sleep(0)

    async def _ask(self, number: int) -> None:
        response = await AsyncClient().post(
            "/v1/chat/completions",
            json.dumps(
                {
                    "model": "assistant",
                    "messages": [{"role": "user", "content": f"Question {number}"}],
                    "metadata": {"conversation_id": str(number)},
                    "stream": True,
                }
            ),
            content_type="application/json",
            headers={"Authorization": f"Bearer {self.key}"},
        )
        if response.status_code != 200:
            self.refused.append(response.status_code)
            return
        self.n_begun += 1
        text = b"".join([part async for part in response.streaming_content]).decode()
        chunks = [json.loads(frame[6:]) for frame in text.split("\n\n") if frame and frame != "data: [DONE]"]
        key = chunks[0]["id"]
        said = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk.get("choices")]
        self.texts[key] = "".join(said)
        if not text.endswith("data: [DONE]\n\n"):
            self.cut_off.append(key)


@pytest.fixture
def asker(project, deployment) -> Asker:
    return Asker(create_key(project=project, name="a test")[1])


async def check_log(asker: Asker, *, n: int, n_refused: int = 0) -> list[str]:
    """Hold what the clients read against the log; return who answered, in the order of asking."""
    await asyncio.gather(*asker.tasks)
    assert asker.cut_off == []
    assert len(asker.refused) == n_refused
    assert len(asker.texts) == n - n_refused
    rows = [row async for row in Completion.objects.select_related("tuned_model").order_by("pk")]
    assert len(rows) == n
    for row in rows:
        if row.state == CompletionState.FAILED:
            assert (row.response, row.key in asker.texts) == ("", False)
            continue
        assert row.state == CompletionState.DONE
        assert row.response == asker.texts[row.key] == f"{row.model_name} says hello"
        assert row.tuned_model is None or row.tuned_model.name == row.model_name
    return [row.model_name for row in rows if row.state == CompletionState.DONE]


async def test_models_are_swapped_in_the_middle_of_answers(engine, asker, deployment, project, tuned_model) -> None:
    """live → canary → canary as live → rolled back, each step with sixteen answers of the step before under way."""
    first, second = tuned_model, await sync_to_async(make_model)(project)
    await sync_to_async(deploy_model)(deployment=deployment, model=first, reason="a test")
    engine.held = True
    asker.begin(N_STREAMS)
    await asker.under_way(N_STREAMS)
    await sync_to_async(set_canary)(deployment=deployment, model=second, percent=50, reason="a test")
    asker.begin(N_STREAMS)
    await asker.under_way(2 * N_STREAMS)
    await sync_to_async(promote)(deployment=deployment, reason="a test")
    asker.begin(N_STREAMS)
    await asker.under_way(3 * N_STREAMS)
    await sync_to_async(roll_back)(deployment=deployment, by=None)
    asker.begin(N_STREAMS)
    await asker.under_way(4 * N_STREAMS)
    engine.release()
    who = await check_log(asker, n=4 * N_STREAMS)
    assert set(who[:16]) == {first.name}
    assert set(who[16:32]) == {first.name, second.name}
    assert set(who[32:48]) == {second.name}
    assert set(who[48:]) == {first.name}


async def test_the_engine_dies_and_a_new_one_finishes_the_answers(
    engine, asker, deployment, tuned_model, settings, monkeypatch
) -> None:
    """What had begun goes on, by the same model, with nothing twice and nothing left out."""
    monkeypatch.setattr(going_on, "LOOK_S", 0.01)
    await sync_to_async(set_canary)(deployment=deployment, model=tuned_model, percent=50, reason="a test")
    engine.held = True
    asker.begin(N_STREAMS)
    await asker.under_way(N_STREAMS)
    other = StubEngine()
    await asyncio.to_thread(engine.stop)
    await sync_to_async(withdraw)(deployment=deployment)
    refused = Asker(asker.key)
    refused.begin(4)
    await asyncio.gather(*refused.tasks)
    other.start()
    settings.ENGINE_URL = other.url
    who = await check_log_after(asker, refused)
    assert set(who) == {tuned_model.name, deployment.live_name}
    assert len(other.requests) >= N_STREAMS
    other.stop()


async def check_log_after(asker: Asker, refused: Asker) -> list[str]:
    asker.refused += refused.refused
    assert refused.refused == [503] * 4
    return await check_log(asker, n=N_STREAMS + 4, n_refused=4)


async def test_a_canary_that_cannot_be_loaded_fails_its_share_alone(engine, asker, deployment, tuned_model) -> None:
    await sync_to_async(set_canary)(deployment=deployment, model=tuned_model, percent=50, reason="a test")
    engine.refused_models = {tuned_model.name}
    asker.begin(N_STREAMS)
    await asyncio.gather(*asker.tasks)
    n_refused = len(asker.refused)
    assert 0 < n_refused < N_STREAMS
    assert set(await check_log(asker, n=N_STREAMS, n_refused=n_refused)) == {deployment.live_name}


async def test_an_engine_that_goes_another_way_ends_the_answer_with_an_error(
    engine, asker, deployment, settings
) -> None:
    """Two halves of different answers are never glued together."""
    engine.held = True
    asker.begin(1)
    await asker.under_way(1)
    other = StubEngine()
    other.answers[deployment.live_name] = ["Something", " else"]
    other.start()
    settings.ENGINE_URL = other.url
    await asyncio.to_thread(engine.stop)
    await asyncio.gather(*asker.tasks)
    row = await Completion.objects.aget()
    assert (row.state, row.response) == (CompletionState.FAILED, deployment.live_name)
    assert asker.texts[row.key] == deployment.live_name
    other.stop()


def test_only_what_is_drawn_by_chance_gets_a_seed() -> None:
    assert going_on.repeatable({"temperature": 0}) == {"temperature": 0}
    assert going_on.repeatable({"seed": 7}) == {"seed": 7}
    assert isinstance(going_on.repeatable({"temperature": 1.0})["seed"], int)
