import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from asgiref.sync import SyncToAsync
from django.db import connections

from deployment.actions import demo
from deployment.actions.release import ensure_deployment
from deployment.models import Deployment
from labeling.models import Project
from tests.deployment.stub_engine import TOKEN, StubEngine
from tests.factories import BaseModelFactory, DatasetVersionFactory, TunedModelFactory
from training.models import BaseModel, TunedModel


@pytest.fixture(autouse=True)
def var_dir(tmp_path: Path, settings) -> Path:
    settings.VAR_DIR = tmp_path
    settings.MODELS_DIR = tmp_path / "models"
    settings.RUNS_DIR = tmp_path / "runs"
    settings.ENGINE_TOKEN_FILE = tmp_path / "engine_token"
    settings.ENGINE_TOKEN_FILE.write_text(TOKEN)
    settings.ENGINE_URL = "http://127.0.0.1:9"  # nobody answers there
    return tmp_path


@pytest.fixture(autouse=True)
def _close_connections() -> Iterator[None]:
    """Close the connection of the thread in which async tests reach the database: it would hold the test database."""
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
    gc.collect()  # a connection of a request's own thread goes with the thread


@pytest.fixture(autouse=True)
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple]]:
    """What would be sent to the workers."""
    from celery import Task

    sent: list[tuple[str, tuple]] = []
    monkeypatch.setattr(Task, "apply_async", lambda task, args=None, kwargs=None, **_: sent.append((task.name, args)))
    return sent


@pytest.fixture
def engine(settings) -> Iterator[StubEngine]:
    stub = StubEngine()
    stub.start()
    settings.ENGINE_URL = stub.url
    yield stub
    stub.stop()


@pytest.fixture
def short_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of everything in the demo project only the first two: the whole of it takes seconds to make."""
    rows = demo._rows
    monkeypatch.setattr(demo, "_rows", lambda name: rows(name)[:2])


@pytest.fixture
def base_model(db: None) -> BaseModel:
    model = BaseModelFactory()
    model.folder.mkdir(parents=True)
    (model.folder / "config.json").write_text("{}")
    return model


@pytest.fixture
def deployment(project: Project, base_model: BaseModel) -> Deployment:
    return ensure_deployment(project=project)


@pytest.fixture
def tuned_model(project: Project, base_model: BaseModel) -> TunedModel:
    return make_model(project)


def make_model(project: Project) -> TunedModel:
    version = DatasetVersionFactory(project=project, number=1000 * (1 + TunedModel.objects.count()))
    model = TunedModelFactory(project=project, job__dataset_version=version)
    model.folder.mkdir(parents=True)
    return model
