import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from labeling.actions.api_key import create_key
from labeling.models import Example, Project, User
from labeling.states import ExampleKind
from tests.factories import BaseModelFactory, CaseFactory, CorrectionFactory, ExampleFactory
from training.actions import runner
from training.models import BaseModel

STANDIN = Path(__file__).with_name("standin.py")


@pytest.fixture(autouse=True)
def folders(settings, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    settings.MODELS_DIR, settings.RUNS_DIR = tmp_path / "models", tmp_path / "runs"


@pytest.fixture
def base_model(db: None, settings) -> BaseModel:
    base_model = BaseModelFactory()
    base_model.folder.mkdir(parents=True)
    (base_model.folder / "config.json").write_text("{}")
    return base_model


@pytest.fixture
def trainer(settings) -> Callable[[str], None]:
    """Put the stand-in in the trainer's place, in one of its modes."""

    def use(mode: str) -> None:
        settings.ML_COMMAND = [sys.executable, str(STANDIN), mode]

    return use


@pytest.fixture
def while_running(monkeypatch) -> Callable[[Callable[[], None]], list[runner.Child]]:
    """Do something once, as another process would, when the child has written its first event.

    Returns the list of the children that were started.
    """

    def plan(act: Callable[[], None]) -> list[runner.Child]:
        children: list[runner.Child] = []
        plans = [act]
        real = runner.Child.ticks

        def ticks(child: runner.Child) -> Iterator[None]:
            children.append(child)
            for tick in real(child):
                if plans and (child.log_path.parent / "events.jsonl").exists():
                    plans.pop()()
                yield tick

        monkeypatch.setattr(runner.Child, "ticks", ticks)
        return children

    return plan


@pytest.fixture
def count_queries() -> Callable[[Callable[[], Any]], tuple[Any, int]]:
    """Return what a call returns, and how many queries it took."""

    def count(call: Callable[[], Any]) -> tuple[Any, int]:
        with CaptureQueriesContext(connection) as queries:
            value = call()
        return value, len(queries)

    return count


def make_demonstration(project: Project, question: str, answer: str = "It depends.") -> Example:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return ExampleFactory(project=project, submission__messages=messages)


def make_correction(project: Project, question: str, answer: str = "It is blue.", wrong: str = "It is red.") -> Example:
    prompt = [{"role": "user", "content": question}]
    case = CaseFactory(project=project, messages=prompt, wrong_output=wrong)
    correction = CorrectionFactory(case=case, text=answer)
    return ExampleFactory(
        project=project,
        kind=ExampleKind.CORRECTION,
        submission=None,
        correction=correction,
        author=correction.author,
        messages=[*prompt, {"role": "assistant", "content": answer}],
    )


@pytest.fixture
def api(client: Client, project: Project) -> Client:
    """The test client with a key of the project."""
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {create_key(project=project, name='a test')[1]}"
    return client


@pytest.fixture
def stranger(charlie: User) -> Client:
    """A client with a key of another project."""
    project = charlie.memberships.get().project
    return Client(HTTP_AUTHORIZATION=f"Bearer {create_key(project=project, name='a test')[1]}")
