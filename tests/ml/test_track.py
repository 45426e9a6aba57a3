"""What MLflow is told of a run, recorded by a server that answers as its REST API does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml import track
from ml.track import Mlflow, follow

AT = "2026-01-02T03:04:05.678+00:00"


class _Mlflow(BaseHTTPRequestHandler):
    told: list[tuple[str, dict[str, Any]]] = []
    n_refusals = 0

    def do_GET(self) -> None:
        self._answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if type(self).n_refusals:
            type(self).n_refusals -= 1
            return self._answer(503, {})
        self.told.append((self.path.removeprefix("/api/2.0/mlflow/"), body))
        return self._answer(200, {"experiment_id": "7", "run": {"info": {"run_id": "r1"}}})

    def _answer(self, status: int, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(track, "POLL_S", 0.0)
    _Mlflow.told, _Mlflow.n_refusals = [], 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Mlflow)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def add(folder: Path, code: str, **data: object) -> None:
    with (folder / "events.jsonl").open("a") as file:
        file.write(json.dumps({"number": 1, "at": AT, "code": code, "data": data}) + "\n")


def tell(folder: Path, address: str) -> None:
    """Tell what is there, as after SIGTERM."""
    stop = threading.Event()
    stop.set()
    told = {"url": address, "project": "kitchen", "name": "ftjob-1", "params": {"seed": 3}}
    follow(folder, Mlflow(told), stop=stop)


def test_a_run_is_told_once_even_where_it_is_resumed(tmp_path: Path, address: str) -> None:
    add(tmp_path, "started", n_steps=2)
    add(tmp_path, "metrics", step=1, n_steps=2, loss=2.5, valid_loss=None, grad_norm=float("nan"))
    add(tmp_path, "stopped")
    tell(tmp_path, address)
    add(tmp_path, "metrics", step=2, loss=1.5)
    add(tmp_path, "finished")
    _Mlflow.n_refusals = 1  # the second beginning is refused once
    tell(tmp_path, address)
    metric = {"key": "loss", "timestamp": 1767323045678}
    ends = [(path, body.pop("end_time", 0) > 0, body) for path, body in _Mlflow.told if path == "runs/update"]
    told = [(path, body) for path, body in _Mlflow.told if path != "runs/update"]
    assert told[1][1].pop("start_time") > 0
    assert told == [
        ("experiments/create", {"name": "kitchen"}),
        ("runs/create", {"experiment_id": "7", "run_name": "ftjob-1"}),
        ("runs/log-batch", {"run_id": "r1", "params": [{"key": "seed", "value": "3"}]}),
        ("runs/log-batch", {"run_id": "r1", "metrics": [{**metric, "value": 2.5, "step": 1}]}),
        ("runs/log-batch", {"run_id": "r1", "metrics": [{**metric, "value": 1.5, "step": 2}]}),
    ]
    assert ends == [
        ("runs/update", True, {"run_id": "r1", "status": "KILLED"}),
        ("runs/update", False, {"run_id": "r1", "status": "RUNNING"}),
        ("runs/update", True, {"run_id": "r1", "status": "FINISHED"}),
    ]


def test_a_tracker_that_is_not_there_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track, "PATIENCE_S", 0.0)
    add(tmp_path, "finished")
    with pytest.raises(httpx.ConnectError):
        tell(tmp_path, "http://127.0.0.1:9")
