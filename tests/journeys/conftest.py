"""The running product: every part of it, started as `make run` starts it, on a folder and ports of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Page, sync_playwright

if TYPE_CHECKING:
    from tests.journeys.web import Stage

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition: Callable[[], object], *, seconds: float, what: str) -> object:
    """Return the first true value of the condition; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.2)
    pytest.fail(f"not within {seconds} s: {what}")


@dataclass
class Emend:
    """One running Emend: its folder, its address, its processes."""

    var: Path
    port: int = field(default_factory=free_port)
    engine_port: int = field(default_factory=free_port)
    more: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[str] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        own = ("EMEND_", "DJANGO_", "DATABASE_URL", "PYTEST_")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        return {
            **clean,
            "EMEND_VAR_DIR": str(self.var),
            "EMEND_PORT": str(self.port),
            "EMEND_ENGINE_PORT": str(self.engine_port),
            "EMEND_ENGINE_URL": f"http://127.0.0.1:{self.engine_port}",
            "EMEND_URL": self.url,
            "EMEND_ML_THREADS": "1",  # as in scripts/test.py
            **self.more,
        }

    def run(self, *command: str) -> str:
        """Run a command of the project to its end and return what it printed on standard output."""
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "scripts/serve.py"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        wait_for(lambda: self.health().get("status") == "ok", seconds=120, what="the product answers")

    def health(self) -> dict[str, object]:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError, ValueError):
            return {}

    def processes(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def find(self, words: str) -> psutil.Process:
        """Return the one process whose command line holds these words."""
        return next(process for process in self.processes() if words in " ".join(process.cmdline()))

    def stop(self, sign: signal.Signals = signal.SIGINT) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(sign)
            self.process.communicate(timeout=60)


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to copy, with an empty database on which all migrations have run: made once for all workers."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root
    blank = Emend(var=root / "blank")
    with FileLock(root / "blank.lock"):
        if not blank.var.exists():
            blank.var.mkdir()
            blank.run("manage.py", "migrate", "--verbosity", "0")
    return blank.var


def prepared(folder: Path, blank: Path, **more: str) -> Emend:
    """Make the folder of a fresh Emend with the bundled model, by the product's own set-up."""
    shutil.copytree(blank, folder, dirs_exist_ok=True)
    emend = Emend(var=folder, more=more)
    model = folder / "models" / "smollm2-135m-instruct"
    known = Path(os.environ.get("EMEND_TEST_MODEL") or "")
    if known.name and (known / "config.json").exists():
        shutil.copytree(known, model, copy_function=os.link)
    emend.run("scripts/setup.py")
    return emend


@pytest.fixture(scope="session")
def emend(tmp_path_factory: pytest.TempPathFactory, blank: Path) -> Iterator[Emend]:
    """The product on SQLite and the filesystem broker, with its demo project."""
    product = prepared(tmp_path_factory.mktemp("emend"), blank)
    product.start()
    yield product
    product.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as patch:
        # a loop of Playwright's runs in this thread from now on; the next file's tests may use the database all the same
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def enter(emend: Emend, browser: Browser) -> Iterator[Callable[[str, str], Page]]:
    """Sign a person in, each in a browser profile of their own, and return their page. A page error fails the test."""
    yield from entrance(emend.url, browser)


def entrance(url: str, browser: Browser) -> Iterator[Callable[[str, str], Page]]:
    """What `enter` does, for the product at that address."""
    contexts = []
    errors: list[str] = []

    def sign_in(email: str, password: str) -> Page:
        context = browser.new_context(base_url=url, viewport={"width": 1440, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto("/accounts/login/")
        page.fill("input[name=login]", email)
        page.fill("input[name=password]", password)
        page.click("main button[type=submit]")
        page.wait_for_url(lambda url: "/accounts/login" not in url)
        return page

    yield sign_in
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def newcomer(emend: Emend, browser: Browser) -> Iterator[Callable[[], Page]]:
    """Open a page in a browser profile of its own, signed in as nobody."""
    contexts = []

    def open_page() -> Page:
        contexts.append(browser.new_context(base_url=emend.url, viewport={"width": 1440, "height": 900}))
        return contexts[-1].new_page()

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, blank: Path) -> "Iterator[Stage]":
    """The web process alone, on a project in which every page has something to show."""
    from tests.journeys.web import Stage

    web = Stage(var=tmp_path_factory.mktemp("stage"))
    web.prepare(blank)
    web.start()
    yield web
    web.kill()
