"""`scripts/demo.py` against the real pages over a real socket; the engine behind them is the stub, the cycle is told."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from django.core.handlers.asgi import ASGIHandler
from django.db import connections

from deployment.actions.demo import create_demo
from labeling.actions.case_training import settle_case, start_training
from labeling.models import Case, User
from tests.deployment.stub_engine import PromptServer

pytestmark = pytest.mark.django_db(transaction=True)
BASE = "smollm2-135m-instruct"
TUNED = "ft:smollm2-135m-instruct:emend:demo:1d035db0"
QUESTION = "What time do you close on Thursdays?"
NUMBERS = {"deployed": True, "model": TUNED, "total_s": 61.2, "state": "promoted", "stop_reason": ""}


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, var_dir: Path):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "scripts")
    import demo

    monkeypatch.setattr(demo, "ACCOUNTS", var_dir / "demo-accounts.txt")
    return demo


@pytest.fixture
def url(engine, base_model, short_demo) -> Iterator[str]:
    """A web server of the product, in a thread, with the demo project in its database."""
    create_demo()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    server = PromptServer(uvicorn.Config(ASGIHandler(), log_level="critical", lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    connections.close_all()


def told(demo, monkeypatch: pytest.MonkeyPatch, numbers: dict, meanwhile: Callable[[], None] = lambda: None) -> None:
    def run_cycle() -> dict:
        meanwhile()
        return numbers

    monkeypatch.setattr(demo, "run_cycle", run_cycle)


def fix_first_case() -> None:
    case = Case.objects.order_by("pk")[0]
    start_training(cases=[case])
    settle_case(case=case, is_fixed=True, model_name=TUNED)


def test_it_asks_before_and_after_and_says_what_became_of_the_report(demo, url, monkeypatch, capsys) -> None:
    told(demo, monkeypatch, NUMBERS, fix_first_case)
    demo.walk(url, QUESTION)
    before, after = capsys.readouterr().out.split("# One cycle")
    assert f"{BASE} says hello" in before
    assert "Case #" in before
    assert "A reviewer has written the right answer" in before
    assert f"{TUNED} is live after 61 s." in after
    assert f"{BASE} says hello" in after
    assert f"Fixed in {TUNED}" in after


def test_it_says_how_to_see_it_learn_when_nothing_is_new(demo, url, monkeypatch, capsys) -> None:
    nothing = {"deployed": False, "model": None, "state": "stopped", "stop_reason": "Nothing new."}
    told(demo, monkeypatch, nothing)
    demo.walk(url, QUESTION)
    out = capsys.readouterr().out
    assert "Nothing new." in out
    assert "start over" in out


def test_a_wrong_password_and_a_silent_engine_are_told_in_a_sentence(demo, url, engine) -> None:
    with demo.Visitor(url) as tester:
        with pytest.raises(demo.DemoError, match="cannot sign in"):
            tester.sign_in("tester@demo.emend.local", "not the password")
        tester.sign_in(*demo.read_tester())
        engine.stop()
        with pytest.raises(demo.DemoError, match="There was no answer"):
            tester.ask(QUESTION)


def test_the_question_is_asked_by_the_tester(demo, url) -> None:
    with demo.Visitor(url) as tester:
        tester.sign_in(*demo.read_tester())
        tester.ask(QUESTION)
        assert tester.case_of("a question that nobody reported") == ""
    assert User.objects.get(completions__isnull=False).email == "tester@demo.emend.local"
