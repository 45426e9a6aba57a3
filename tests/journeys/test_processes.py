"""The parts of the running product: who is there, what they weigh, what happens when they die or are stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.journeys.conftest import ROOT, Emend, prepared, wait_for

pytestmark = pytest.mark.journey

WEB = "uvicorn config.asgi"
WEB_LIMIT_MB = 250


def test_health_names_each_part(emend: Emend) -> None:
    health = emend.health()
    assert health["status"] == "ok"
    assert (health["database"], health["broker"], health["engine"]) == ("ok", "ok", "ok")
    assert health["workers"] == {"default": "ok", "gpu": "ok"}


def test_the_web_process_is_light_and_knows_no_machine_learning(emend: Emend) -> None:
    web = emend.find(WEB)
    maps = Path(f"/proc/{web.pid}/maps").read_text()
    for library in ("libtorch", "tokenizers", "safetensors", "numpy"):
        assert library not in maps
    assert web.memory_info().rss / 1e6 < WEB_LIMIT_MB


@pytest.mark.parametrize("words", [WEB, "worker -n gpu@", "ml serve"])
def test_a_killed_part_comes_back(emend: Emend, words: str) -> None:
    before = emend.find(words)
    before.kill()
    psutil.wait_procs([before], timeout=10)
    wait_for(
        lambda: any(words in " ".join(process.cmdline()) for process in emend.processes()),
        seconds=60,
        what="a new process",
    )
    wait_for(lambda: emend.health().get("status") == "ok", seconds=60, what="all is well again")


def refusal(**environment: str) -> str:
    """Start the product a second time and return the last line that it says."""
    done = subprocess.run(
        [sys.executable, "scripts/serve.py"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_a_second_start_on_the_same_data_is_refused_in_a_sentence(emend: Emend) -> None:
    assert "already runs on the data in" in refusal(**emend.environment)


def test_a_taken_port_is_said_with_the_way_out(emend: Emend, tmp_path: Path) -> None:
    sentence = refusal(**{**emend.environment, "EMEND_VAR_DIR": str(tmp_path)})
    assert f"port {emend.port} on 127.0.0.1 is not free" in sentence
    assert "EMEND_PORT=" in sentence
    assert "is no port" in refusal(**{**emend.environment, "EMEND_VAR_DIR": str(tmp_path), "EMEND_PORT": "eight"})


def test_stopping_leaves_no_process_and_what_it_kept_starts_again(tmp_path: Path, blank: Path) -> None:
    more = {}
    if os.environ.get("EMEND_TEST_POSTGRESQL"):  # the production pair, where the test command brings it
        more = {"DATABASE_URL": os.environ["EMEND_TEST_POSTGRESQL"], "EMEND_BROKER_URL": os.environ["EMEND_TEST_REDIS"]}
    product = prepared(tmp_path, blank, **more)
    for sign in (signal.SIGINT, signal.SIGKILL):
        product.start()
        children = product.processes()
        assert len(children) >= 6  # the manager and its five parts
        product.stop(sign)
        _, alive = psutil.wait_procs(children, timeout=40)
        assert alive == []
