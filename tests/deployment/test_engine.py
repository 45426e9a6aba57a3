"""The engine's client against a real server that speaks docs/engine.md."""

from pathlib import Path

import pytest

from deployment import engine as client
from deployment.actions.errors import EngineAway, EngineBusy, EngineError, ModelNotLoadable

ASK = {"name": "m", "path": "models/m", "messages": [{"role": "user", "content": "Hi"}]}


async def read(**parameters) -> list:
    return [part async for part in client.stream_answer(**ASK, parameters=parameters)]


async def test_an_answer_comes_in_pieces_and_ends_with_its_numbers(engine) -> None:
    *pieces, end = await read(temperature=0, max_tokens=5)
    assert pieces == ["m", " says", " hello"]
    assert (end.finish_reason, end.n_prompt_tokens, end.n_completion_tokens) == ("stop", 7, 3)
    assert engine.requests == [
        {"model": "m", "path": "models/m", "messages": ASK["messages"], "temperature": 0, "max_tokens": 5}
    ]


async def test_letters_beyond_ascii_arrive_whole(engine) -> None:
    engine.answers["m"] = ["你好", "，世界 🫖"]
    assert (await read())[:2] == ["你好", "，世界 🫖"]


async def test_nobody_at_the_address_is_said_as_such() -> None:
    with pytest.raises(EngineAway):
        await read()
    with pytest.raises(EngineAway):
        client.read_health()
    with pytest.raises(EngineAway):
        client.load_model(name="m", path="models/m")


async def test_an_answer_without_its_last_line_is_not_taken_for_whole(engine) -> None:
    engine.break_off = True
    with pytest.raises(EngineAway):
        await read()


@pytest.mark.parametrize(
    ("status", "error"), [(503, EngineBusy), (429, EngineBusy), (404, ModelNotLoadable), (507, ModelNotLoadable)]
)
async def test_refusals_have_their_own_errors(engine, status, error) -> None:
    engine.refuse_generate = (status, "because")
    with pytest.raises(error):
        await read()


@pytest.mark.parametrize(("kind", "error"), [("busy", EngineBusy), ("load", ModelNotLoadable), ("code", EngineError)])
async def test_an_error_line_ends_the_answer(engine, kind, error) -> None:
    engine.error_line = {"message": "because", "kind": kind}
    with pytest.raises(error):
        await read()


def test_a_load_that_fails_says_why(engine) -> None:
    engine.refuse_load = (507, "no memory left")
    with pytest.raises(ModelNotLoadable, match="no memory left"):
        client.load_model(name="m", path="models/m")
    engine.refuse_load = None
    client.load_model(name="m", path="models/m")
    assert client.read_health()["models"][0]["name"] == "m"


def test_a_wrong_token_is_an_error_and_not_silence(engine, settings) -> None:
    settings.ENGINE_TOKEN_FILE.write_text("another")
    with pytest.raises(EngineError, match="no token"):
        client.load_model(name="m", path="models/m")


def test_only_what_lies_below_var_has_a_path(settings) -> None:
    assert client.relative_path(settings.VAR_DIR / "runs" / "a" / "model") == "runs/a/model"
    with pytest.raises(ModelNotLoadable):
        client.relative_path(Path("/somewhere/else"))
