"""The official clients, unmodified and each in an environment of its own, on a live server (scripts/clients.py installs them).

Stand-ins answer and train at once: what is tested is what the clients make of the wire.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deployment.stub_engine import TOKEN, StubEngine
from tests.journeys.conftest import ROOT, wait_for
from tests.journeys.web import Web

pytestmark = pytest.mark.journey

CLIENTS = ROOT / "var" / "test" / "clients"
PROGRAMS = Path(__file__).with_name("clients")
LIMIT_S = 60


@dataclass
class Server(Web):
    """The web process of tests.journeys.openai_server, and the engine that it asks."""

    key: str = ""
    engine_url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "EMEND_ENGINE_URL": self.engine_url}

    @property
    def api(self) -> str:
        return f"{self.url}/v1"

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.journeys.openai_server", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.key = self.process.stdout.readline().decode().strip()
        wait_for(self._listens, seconds=30, what="the web process listens")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Cutter:
    """A line to the server that goes dead once `n_events` events of a stream have come through it."""

    def __init__(self, port: int, *, n_events: int) -> None:
        self._target, self._left = ("127.0.0.1", port), n_events
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client = self._listener.accept()[0]
            server = socket.create_connection(self._target)
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, True), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, is_answer: bool = False) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
                self._left -= data.count(b"\ndata: ") if is_answer else 0
                if self._left <= 0:
                    break
        except OSError:
            pass
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # closing alone would wait for the thread that reads the other way
            end.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[StubEngine]:
    stub = StubEngine()
    stub.start()
    yield stub
    stub.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, blank: Path, engine: StubEngine) -> Iterator[Server]:
    web = Server(tmp_path_factory.mktemp("openai"), engine_url=engine.url)
    shutil.copytree(blank, web.var, dirs_exist_ok=True)
    (web.var / "engine_token").write_text(TOKEN)
    web.start()
    yield web
    web.kill()


@pytest.fixture
def held(server: Server) -> Iterator[Path]:
    """While this file is there, trainings stop in their middle."""
    path = server.var / "hold"
    path.touch()
    yield path
    path.unlink(missing_ok=True)


def installed(name: str, what: str) -> Path:
    folder = CLIENTS / name
    if not (folder / "installed").exists():
        pytest.skip(f"{what} is not installed: python scripts/clients.py")
    return folder


def run(*command: Any, code: int = 0, **environment: str) -> str:
    """Run a client to its end and return what it printed: its answer, or where it is to fail, its complaint."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("OPENAI_", "PYTHON"))}
    more = {"PYTHONWARNINGS": "ignore", "NO_PROXY": "127.0.0.1", **environment}
    done = subprocess.run(
        [str(part) for part in command],
        env={**clean, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


def messages_of(text: str) -> list[str]:
    """Return the events that `follow` has printed, without their times."""
    return re.findall(r"^\[\d{4}-[\d-]+ [\d:.]+\] (.*)$", text, re.MULTILINE)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    lines = [f"city {i},land {i}" for i in range(12)]  # what all completions begin with is taken off
    path.write_text("\n".join(["prompt,completion", *lines]) + "\n")
    return path


def test_the_commands_of_0_28_from_a_table_to_an_answer(
    server: Server, engine: StubEngine, held: Path, rows: Path
) -> None:
    folder = installed("legacy", "openai 0.28.1")
    reached = {"OPENAI_API_KEY": server.key, "OPENAI_API_BASE": server.api}

    def openai(*words: str, **environment: str) -> str:
        return run(folder / "bin" / "openai", *words, **{**reached, **environment})

    openai("tools", "fine_tunes.prepare_data", "-f", str(rows), "-q")
    prepared = rows.with_name("rows_prepared.jsonl")
    assert json.loads(prepared.read_text().splitlines()[3]) == {"prompt": "city 3 ->", "completion": " 3\n"}

    cut = Cutter(server.port, n_events=5)  # the line goes dead in the middle of the training
    wanted = ("--no_check_if_files_exist", "--suffix", "My Suffix!", "--n_epochs", "2")
    text = openai("api", "fine_tunes.create", "-t", str(prepared), *wanted, OPENAI_API_BASE=cut.url)
    assert "Stream interrupted (client disconnected)." in text
    job = re.findall(r"^Created fine-tune: (ft-\w+)$", text, re.MULTILINE)[0]
    before = messages_of(text)
    held.unlink()
    text = openai("api", "fine_tunes.follow", "-i", job)
    assert "Job complete! Status: succeeded" in text
    model = re.findall(r"completions\.create -m (\S+) -p", text)[0]
    assert re.fullmatch(r"curie:ft-emend:my-suffix-[\d-]{19}", model)
    after = messages_of(text)
    assert [re.sub(r"file-\w+", "FILE", line) for line in after] == [
        f"Created fine-tune: {job}",
        "Fine-tune costs $0.00",
        "Fine-tune enqueued. Queue number: 0",
        "Fine-tune started",
        "Completed epoch 1/2",
        "Completed epoch 2/2",
        f"Uploaded model: {model}",
        "Uploaded result file: FILE",
        "Fine-tune succeeded",
    ]
    assert len(before) >= 4
    assert before == after[: len(before)]  # nothing lost, nothing twice

    def results() -> str:
        return openai("api", "fine_tunes.results", "-i", job)

    def answer() -> str:
        return openai("api", "completions.create", "-m", model, "-p", "city 3 ->", "--stream", "-M", "5")

    with ThreadPoolExecutor(2) as pool:
        table, text = [future.result() for future in (pool.submit(results), pool.submit(answer))]
    assert table.splitlines()[:2] == [
        "step,elapsed_tokens,elapsed_examples,training_loss,training_sequence_accuracy,training_token_accuracy",
        "1,40,4,3,0.25,0.5",
    ]
    asked = engine.requests[-1]
    assert text.strip() == f"city 3 ->{asked['model']} says hello"
    assert (asked["messages"], asked["max_tokens"]) == ([{"role": "user", "content": "city 3 ->"}], 5)
    assert '"deleted": true' in openai("api", "models.delete", "-i", model)


def chat_rows(path: Path, n: int) -> Path:
    pairs = [({"role": "user", "content": f"Q{i}"}, {"role": "assistant", "content": f"A{i}"}) for i in range(n)]
    path.write_text("".join(json.dumps({"messages": pair}) + "\n" for pair in pairs))
    return path


def test_a_program_with_0_28(server: Server, held: Path, tmp_path: Path) -> None:
    folder = installed("legacy", "openai 0.28.1")
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"Q{i} ->", "completion": f" A{i}\n"}) + "\n" for i in range(4)))
    reached = {"OPENAI_API_KEY": server.key, "OPENAI_API_BASE": server.api}
    program = (folder / "bin" / "python", PROGRAMS / "legacy.py", prompts, "smollm2-135m-instruct")
    assert json.loads(run(*program, **reached)) == {
        "default model": "curie",
        "first event": "Created fine-tune: ID",
        "status": "pending",
        "unfinished": [400, "id"],
        "last event": "Fine-tune cancelled",
        "cancelled": ["cancelled", None, []],
        "again": [400, "invalid_request_error"],
        "deleted": True,
        "listed": False,
        "unknown job": [404, "id", None],
        "unknown model": [404, None, "model_not_found"],
        "unknown file": [404, "id", None],
        "not served": [400, "logit_bias", "unsupported_parameter"],
        "wrong key": 401,
        "indexes": [0, 1, 2, 3],
        "chat": "smollm2-135m-instruct says hello",
    }


def test_the_commands_of_1_x(server: Server, held: Path, tmp_path: Path) -> None:
    folder = installed("commands", "openai 1.109.1")
    reached = {"OPENAI_API_KEY": server.key, "OPENAI_BASE_URL": server.api}

    def openai(*words: Any) -> Any:
        return json.loads(run(folder / "bin" / "openai", *words, **reached))

    file = openai("api", "files.create", "-f", chat_rows(tmp_path / "chat.jsonl", 10), "-p", "fine-tune")
    asked = ("-m", "davinci", "-F", file["id"], "-s", "first", "-H", '{"n_epochs": 4}')
    job = openai("api", "fine_tuning.jobs.create", *asked)
    assert (job["object"], job["training_file"], job["hyperparameters"]["n_epochs"]) == (
        "fine_tuning.job",
        file["id"],
        4,
    )
    with ThreadPoolExecutor(2) as pool:
        listed = pool.submit(openai, "api", "fine_tuning.jobs.list", "-l", "1")
        told = pool.submit(openai, "api", "fine_tuning.jobs.list_events", "-i", job["id"], "-l", "50")
    assert [each["id"] for each in listed.result()["data"]] == [job["id"]]
    assert told.result()["data"][-1]["message"] == f"Created fine-tuning job: {job['id']}"
    cancelled = openai("api", "fine_tuning.jobs.cancel", "-i", job["id"])
    assert (cancelled["status"], cancelled["fine_tuned_model"]) == ("cancelled", None)
    unknown = ("api", "fine_tuning.jobs.retrieve", "-i", "ftjob-nope")
    assert "Could not find fine tune: ftjob-nope" in run(folder / "bin" / "openai", *unknown, code=1, **reached)


EVENTS = [
    "Created fine-tuning job: JOB",
    "Validating training file: FILE",
    "Files validated, moving job to queued state",
    "Fine-tuning job started",
    "Step 1/2: training loss=3.00",
    "Step 2/2: training loss=1.50",
    "New fine-tuned model created: MODEL",
    "The job has successfully completed",
]


def test_a_program_with_the_present_sdk(server: Server, engine: StubEngine) -> None:
    folder = installed("current", "openai 3.54.0")
    engine.held_models.add("smollm2-135m-instruct")  # the answer that is cut off would else be over at once
    seen = json.loads(run(folder / "bin" / "python", PROGRAMS / "current.py", server.api, server.key))
    engine.held_models.clear()
    assert engine.wait_until_left()
    assert seen == {
        "file": ["rows of chat.jsonl", True, "processed"],
        "same bytes": True,
        "asked": [7, {"run": "nightly"}, "auto", None],
        "events": EVENTS,
        "all events": True,
        "job": ["succeeded", 80, 2, 4],
        "model": "ft:smollm2-135m-instruct:emend:kitchen-talk",
        "csv": ["step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy", "1,3,0.5,,"],
        "checkpoints": [2],
        "found by metadata": [True],
        "whole": ["MODEL says hello"] * 2,
        "stored": [True],
        "stream": [True, 10],
        "after the cut": "stop",
        "async": True,
        "unknown model": [404, None, "model_not_found"],
        "not served": [400, "tools", "unsupported_parameter"],
        "cancelled too late": [400, None, "invalid_state"],
        "batch": ["completed", True],
        "batches": [True],
        "no moderations": [404, None, "unknown_url"],
        "deleted": True,
    }


def test_a_program_with_the_javascript_sdk(server: Server, engine: StubEngine) -> None:
    folder = installed("javascript", "the JavaScript SDK")
    engine.held_models.add("smollm2-135m-instruct")
    n_left = len(engine.gone)
    seen = json.loads(run("node", PROGRAMS / "javascript.mjs", folder, server.api, server.key))
    engine.held_models.clear()
    wait_for(lambda: len(engine.gone) > n_left, seconds=10, what="the engine stops writing")
    assert seen == {
        "file": ["rows.jsonl", True],
        "same_bytes": True,
        "job": ["succeeded", 80],
        "events": EVENTS,
        "whole": "MODEL says hello",
        "stream": [True, 10],
        "helper": True,
        "after_the_cut": "stop",
        "unknown_model": [404, None, "model_not_found"],
        "not_served": [400, "response_format", "unsupported_parameter"],
        "unknown_job": [404, "fine_tune_id", "fine_tune_not_found"],
        "wrong_key": 401,
        "deleted": True,
    }
