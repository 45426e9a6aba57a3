import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
import torch

from ml.engine import Engine
from ml.engine_model import EngineError
from ml.engine_sampling import Sampling
from ml.serve import parse_generate
from tests.ml.engine_cast import PATIENCE_S, ask, save_model

HI = [{"role": "user", "content": "hi"}]
ENDLESS = {"temperature": 5, "seed": 1, "max_tokens": 4000}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for seed, name in enumerate("ab"):
        save_model(root / name, seed=seed, context_length=4096)
    save_model(root / "short", context_length=40)
    (root / "broken").mkdir()
    (root / "broken" / "config.json").write_text("{}")
    (root / "broken" / "model.safetensors").write_bytes(b"no weights")
    return root


class Served:
    """A real engine process and a client of it."""

    def __init__(self, root: Path, *options: str, parent: bool = False):
        command = [sys.executable, "-m", "ml", "serve", "--root", str(root), "--port", "0", "--threads", "1"]
        command += ["--dtype", "float32", *options]
        if parent:
            # A parent that starts the engine, tells its pid and sleeps until it is killed.
            script = "import os,subprocess,sys,signal\np=subprocess.Popen([*sys.argv[1:],'--parent-pid',str(os.getpid())])\nprint('PID',p.pid,file=sys.stderr,flush=True)\nsignal.pause()"
            command = [sys.executable, "-c", script, *command]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        self.log: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if "listens on" in line:
                break
        assert "listens on" in self.log[-1], self.log
        port = self.log[-1].rsplit(":", 1)[1].strip()
        self._drain = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self._drain.start()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S)

    def generate(self, **fields) -> list[dict]:
        response = self.client.post("/generate", json={"model": "a", "path": "a", "messages": HI} | fields)
        return [json.loads(line) for line in response.text.splitlines()]

    def stop(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._drain.join(PATIENCE_S)
        self.process.stderr.close()


@pytest.fixture(scope="module")
def served(root):
    served = Served(root, "--max-models", "8")
    yield served
    served.stop()


def text_of(lines: list[dict]) -> str:
    return "".join(line.get("text", "") for line in lines)


def wait_until_free(served: Served) -> None:
    """The engine frees a place at its next step; each look at /health gives it time for one."""
    for _ in range(10_000):
        models = served.client.get("/health").json()["models"]
        if not any(model["n_active"] + model["n_waiting"] for model in models):
            return
    raise AssertionError(models)


def test_generate_streams_text_and_a_last_line(served):
    with served.client.stream(
        "POST", "/generate", json={"model": "a", "path": "a", "messages": HI, "max_tokens": 20, "temperature": 0}
    ) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/x-ndjson"
        lines = [json.loads(line) for line in response.iter_lines()]
    assert all(set(line) == {"text"} for line in lines[:-1])
    assert len(lines) > 2
    assert set(lines[-1]) == {"finish_reason", "usage", "mean_logprob", "time_to_first_token_s", "duration_s"}
    assert lines[-1]["usage"]["completion_tokens"] == 20


def test_concurrent_requests_keep_their_own_sampling(served, root):
    settings = [
        {"temperature": 0},
        {"temperature": 1.5, "seed": 1},
        {"temperature": 1.5, "seed": 2},
        {"temperature": 3, "top_k": 5, "seed": 3},
        {"temperature": 2, "top_p": 0.5, "seed": 4},
        {"temperature": 0},
    ]
    with ThreadPoolExecutor(len(settings) * 2) as pool:
        asked = [
            pool.submit(served.generate, model=name, path=name, max_tokens=40, **setting)
            for setting in settings
            for name in "ab"
        ]
        together = [text_of(future.result()) for future in asked]
    engine = Engine(root=root, dtype=torch.float32, device=torch.device("cpu"))
    alone = []
    for setting in settings:
        for name in "ab":
            _, heard = ask(engine, "hi", name=name, sampling=Sampling(**setting), max_tokens=40)
            heard.wait()
            alone.append(heard.text)
    engine.close(wait=True)
    assert together == alone
    assert len(set(together)) == 10


def test_a_client_that_goes_away_ends_its_generation(served):
    with served.client.stream(
        "POST", "/generate", json={"model": "a", "path": "a", "messages": HI} | ENDLESS
    ) as response:
        next(response.iter_lines())
    wait_until_free(served)
    assert "finish_reason" in served.generate(max_tokens=1)[-1]


def waits_in_the_queue(served: Served) -> bool:
    """Leave a request while it waits behind a long answer; False when that answer ended too early to see it wait."""
    with served.client.stream(
        "POST", "/generate", json={"model": "a", "path": "a", "messages": HI} | ENDLESS
    ) as response:
        lines = response.iter_lines()  # without anybody who holds it, the client would go away
        next(lines)
        with socket.create_connection((served.client.base_url.host, served.client.base_url.port)) as connection:
            body = json.dumps({"model": "a", "messages": HI} | ENDLESS).encode()
            head = f"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            while (model := served.client.get("/health").json()["models"][0])["n_active"]:
                if model["n_waiting"]:
                    return True
    return False


def test_a_client_that_goes_away_in_the_queue_ends_its_generation(root):
    served = Served(root, "--max-batch", "1")
    try:
        assert any(
            waits_in_the_queue(served) for _ in range(5)
        )  # on a starved machine the answer may be faster than we
        wait_until_free(served)
    finally:
        served.stop()


def test_load_and_unload(served):
    assert served.client.post("/load", json={"model": "mine", "path": "b"}).status_code == 200
    assert "mine" in {model["name"] for model in served.client.get("/health").json()["models"]}
    # Loaded, it needs no path.
    response = served.client.post("/generate", json={"model": "mine", "messages": HI, "max_tokens": 1})
    assert response.status_code == 200
    assert served.client.post("/unload", json={"model": "mine"}).status_code == 200
    assert "mine" not in {model["name"] for model in served.client.get("/health").json()["models"]}
    assert served.client.post("/unload", json={"model": "mine"}).status_code == 404


@pytest.mark.parametrize(
    ("call", "body", "status", "kind"),
    [
        ("/load", {"model": "x", "path": "nowhere"}, 404, "not_found"),
        ("/load", {"model": "x", "path": "../../etc"}, 404, "not_found"),
        ("/load", {"model": "x", "path": "broken"}, 400, "load"),
        ("/load", {"model": "x"}, 400, "request"),
        ("/generate", {"model": "unheard", "messages": HI}, 404, "not_found"),
        ("/generate", {"model": "y", "path": "broken", "messages": HI}, 400, "load"),
        ("/generate", {"model": "a", "path": "b", "messages": HI}, 409, "conflict"),
        (
            "/generate",
            {"model": "short", "path": "short", "messages": [{"role": "user", "content": "x" * 40}]},
            400,
            "context",
        ),
    ],
)
def test_errors_before_the_first_line_have_a_status(served, call, body, status, kind):
    served.client.post("/load", json={"model": "a", "path": "a"})
    response = served.client.post(call, json=body)
    assert response.status_code == status
    error = response.json()["error"]
    assert error["kind"] == kind
    assert error["message"].endswith(".") or kind == "load"


def test_a_failed_load_leaves_a_running_stream_alone(served):
    with served.client.stream(
        "POST", "/generate", json={"model": "a", "path": "a", "messages": HI} | ENDLESS | {"max_tokens": 150}
    ) as response:
        lines = response.iter_lines()
        next(lines)
        assert served.client.post("/load", json={"model": "z", "path": "broken"}).status_code == 400
        assert json.loads(list(lines)[-1])["finish_reason"] == "length"


def test_unknown_addresses_and_methods_are_errors_in_json(served):
    assert served.client.get("/nothing").json()["error"]["kind"] == "request"
    assert served.client.get("/generate").status_code == 405


def test_a_huge_body_is_refused(served):
    response = served.client.post("/generate", content=b" " * (9 * 1024**2))
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("messages", []),
        ("messages", None),
        ("messages", [{"role": "tool", "content": "x"}]),
        ("messages", [{"role": "user", "content": ["x"]}]),
        ("messages", ["x"]),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("max_tokens", True),
        ("temperature", -0.1),
        ("temperature", "1"),
        ("temperature", float("nan")),
        ("top_p", 1.1),
        ("top_k", -1),
        ("seed", 2**63),
        ("frequency_penalty", 2.1),
        ("presence_penalty", "1"),
        ("logprobs", 21),
        ("logprobs", True),
        ("stop", "END"),
        ("stop", [""]),
        ("stop", ["x"] * 17),
        ("model", ""),
        ("path", 3),
        ("tempreature", 1),
    ],
)
def test_a_bad_field_is_named(field, value):
    body = {"model": "a", "messages": HI} | {field: value}
    with pytest.raises(EngineError, match=field) as caught:
        parse_generate(json.dumps(body).encode())
    assert caught.value.kind == "request"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(EngineError, match="JSON"):
        parse_generate(body)


def test_defaults_and_nulls():
    least = parse_generate(json.dumps({"model": "a", "messages": HI}).encode())
    nulls = dict.fromkeys(
        ["path", "max_tokens", "temperature", "top_p", "top_k", "seed", "stop", "logprobs", "presence_penalty"]
    )
    assert parse_generate(json.dumps({"model": "a", "messages": HI} | nulls).encode()) == least
    assert (least.max_tokens, least.sampling, least.stop) == (512, Sampling(1.0, 1.0, 0, None), [])


def test_every_request_but_health_needs_the_token(root, tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    served = Served(root, "--token-file", str(tmp_path / "token"))
    try:
        assert served.client.get("/health").status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
            response = served.client.post("/load", json={"model": "a", "path": "a"}, headers=headers)
            assert (response.status_code, response.json()["error"]["kind"]) == (401, "auth")
        right = {"Authorization": "Bearer s3cret"}
        assert served.client.post("/load", json={"model": "a", "path": "a"}, headers=right).status_code == 200
    finally:
        served.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_the_middle_of_an_answer(root, number):
    served = Served(root)
    try:
        with served.client.stream(
            "POST", "/generate", json={"model": "a", "path": "a", "messages": HI} | ENDLESS
        ) as response:
            lines = response.iter_lines()
            next(lines)
            served.process.send_signal(number)
            assert json.loads(list(lines)[-1])["error"]["kind"] == "stopping"
        assert served.process.wait(PATIENCE_S) == 0
        assert "Traceback" not in "".join(served.log)
    finally:
        served.stop()


def test_it_stops_when_its_parent_is_gone(root):
    served = Served(root, parent=True)
    try:
        pid = int(next(line for line in served.log if line.startswith("PID")).split()[1])
        engine = psutil.Process(pid)
        served.process.kill()
        engine.wait(PATIENCE_S)
    finally:
        served.stop()


def test_it_does_not_start_when_its_parent_is_gone_already(root):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    served = Served(root, "--parent-pid", str(gone.pid))
    try:
        assert served.process.wait(PATIENCE_S) == 0
    finally:
        served.stop()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--root", "/nowhere"], "is not a folder"),
        (["--root", ".", "--threads", "0"], "at least 1"),
        (["--root", ".", "--token-file", "/nowhere"], "cannot be read"),
        (["--root", ".", "--token-file", os.devnull], "is empty"),
    ],
)
def test_wrong_options_are_told(options, message, capsys):
    from ml.serve import main

    with pytest.raises(SystemExit):
        main(options)
    assert message in capsys.readouterr().err


def test_a_taken_port_is_told(capsys):
    from ml.serve import main

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--root", ".", "--port", str(port)]) == 1
    assert f"127.0.0.1:{port}" in capsys.readouterr().err
