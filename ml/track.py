"""`python -m ml track RUN_DIR`: tells MLflow or Weights & Biases what `events.jsonl` says, while another process trains.

What to tell whom is in `tracker.json`, written by the worker; how far this has come is in `tracked.json`, so that a run that
is interrupted goes on as one. A tracker that cannot be reached costs the training nothing: it is asked again.
"""

import json
import math
import os
import signal
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import httpx

POLL_S = 2.0
PATIENCE_S = 20.0
TIMEOUT_S = 10.0
MOST_METRICS = 500
MOST_CHARS = 500
FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
Line = dict[str, Any]


class Tracker(Protocol):
    def begin(self, run: str) -> str: ...
    def log(self, lines: list[Line]) -> None: ...
    def end(self, status: str) -> None: ...


class Mlflow:
    """MLflow's REST API, https://mlflow.org/docs/latest/rest-api.html: five addresses of it."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told, self.run = told, ""
        token = os.environ.get("MLFLOW_TRACKING_TOKEN")
        self.http = httpx.Client(
            base_url=f"{told['url'].rstrip('/')}/api/2.0/mlflow/",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=TIMEOUT_S,
        )

    def begin(self, run: str) -> str:
        """Begin a run, or go on with this one; return its id."""
        if run:
            self.run = run
            self._post("runs/update", run_id=run, status="RUNNING")
            return run
        if not self.run:  # else the second attempt of a beginning that was interrupted
            begun = self._post(
                "runs/create",
                experiment_id=self._experiment(self.told["project"]),
                run_name=self.told["name"],
                start_time=int(time.time() * 1000),
            )
            self.run = begun["run"]["info"]["run_id"]
        params = [{"key": key, "value": str(value)[:MOST_CHARS]} for key, value in self.told["params"].items()]
        self._post("runs/log-batch", run_id=self.run, params=params)
        return self.run

    def log(self, lines: list[Line]) -> None:
        metrics = [
            {"key": name, "value": value, "step": line["data"]["step"], "timestamp": _milliseconds(line["at"])}
            for line in lines
            for name, value in _figures(line).items()
        ]
        for start in range(0, len(metrics), MOST_METRICS):
            self._post("runs/log-batch", run_id=self.run, metrics=metrics[start : start + MOST_METRICS])

    def end(self, status: str) -> None:
        self._post("runs/update", run_id=self.run, status=status, end_time=int(time.time() * 1000))

    def _experiment(self, name: str) -> str:
        found = self.http.get("experiments/get-by-name", params={"experiment_name": name})
        if found.status_code == httpx.codes.NOT_FOUND:
            return str(self._post("experiments/create", name=name)["experiment_id"])
        return str(found.raise_for_status().json()["experiment"]["experiment_id"])

    def _post(self, address: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.post(address, json=body).raise_for_status().json()
        return answer


class Wandb:
    """Weights & Biases, by its own package; its key and address come from its own variables (WANDB_API_KEY ...)."""

    def __init__(self, told: dict[str, Any]) -> None:
        import wandb

        self.told, self.wandb = told, wandb

    def begin(self, run: str) -> str:
        told = self.told
        self.run = self.wandb.init(
            project=told["project"],
            id=run or told["name"],
            name=told["name"],
            config=told["params"],
            resume="allow",
            dir=told["folder"],
            settings=self.wandb.Settings(x_disable_stats=True, console="off"),
        )
        return str(self.run.id)

    def log(self, lines: list[Line]) -> None:
        for line in lines:
            self.run.log(_figures(line), step=line["data"]["step"])

    def end(self, status: str) -> None:
        self.run.finish(exit_code=0 if status == FINISHED else 1)


class Log:
    """The events that were not told yet."""

    def __init__(self, folder: Path) -> None:
        self.path, self.state_path = folder / "events.jsonl", folder / "tracked.json"
        known = json.loads(self.state_path.read_text()) if self.state_path.exists() else {}
        self.run, self.n_told = known.get("run", ""), known.get("n_told", 0)

    def fresh(self) -> list[Line]:
        text = self.path.read_bytes() if self.path.exists() else b""
        return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()[self.n_told :]]

    def keep(self, *, run: str, n_more: int = 0) -> None:
        self.run, self.n_told = run, self.n_told + n_more
        temporary = self.state_path.with_suffix(".tmp")
        temporary.write_text(json.dumps({"run": self.run, "n_told": self.n_told}))
        temporary.replace(self.state_path)


def follow(folder: Path, tracker: Tracker, *, stop: threading.Event) -> None:
    """Tell what comes until `stop` is set, then the rest and how it ended. Raises what the last attempts raised."""
    log = Log(folder)
    has_begun, last, deadline = False, KILLED, 0.0
    while True:
        is_last = stop.wait(POLL_S)
        deadline = deadline or (time.monotonic() + PATIENCE_S if is_last else 0.0)
        try:
            if not has_begun:
                log.keep(run=tracker.begin(log.run))
                has_begun = True
            lines = log.fresh()
            tracker.log([line for line in lines if line["code"] == "metrics"])
            log.keep(run=log.run, n_more=len(lines))
            for line in lines:
                last = {"finished": FINISHED, "failed": FAILED}.get(line["code"], KILLED)
            if is_last:
                return tracker.end(last)
        except httpx.HTTPError as error:
            print(f"The tracker cannot be told: {error}", file=sys.stderr)
            if deadline and time.monotonic() > deadline:
                raise
            time.sleep(POLL_S if is_last else 0.0)


def main(argv: list[str]) -> int:
    """Follow until SIGTERM comes or the worker is gone."""
    if len(argv) != 1:
        print("usage: python -m ml track RUN_DIR", file=sys.stderr)
        return 64
    folder, parent, stop = Path(argv[0]), os.getppid(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def watch() -> None:
        while os.getppid() == parent and not stop.wait(1.0):
            pass
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    told = json.loads((folder / "tracker.json").read_text(encoding="utf-8")) | {"folder": str(folder)}
    try:
        follow(folder, {"mlflow": Mlflow, "wandb": Wandb}[told["kind"]](told), stop=stop)
    except (httpx.HTTPError, ImportError) as error:
        print(f"The tracker was not told: {error}", file=sys.stderr)
        return 1
    return 0


def _figures(line: Line) -> dict[str, float]:
    return {
        name: value
        for name, value in line["data"].items()
        if name not in ("step", "n_steps") and isinstance(value, int | float) and math.isfinite(value)
    }


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)
