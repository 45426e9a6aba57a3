"""`make test`: brings what the tests need, then runs the whole suite, on SQLite and on PostgreSQL, and says what it left out.

PostgreSQL, Redis, Chromium and gettext come from Debian's packages where this process may install them. The servers run
in a folder of their own, on free ports, and end with this process.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from clients import Preparation
from servers import free_port, postgres_bin, postgresql

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
BASE_MODEL = ROOT / "var" / "test" / "models" / "smollm2-135m-instruct"
PACKAGES = {
    "postgresql": lambda: bool(postgres_bin()),
    "redis-server": lambda: bool(shutil.which("redis-server")),
    "chromium": lambda: bool(shutil.which("chromium") or shutil.which("google-chrome")),
    "gettext": lambda: bool(shutil.which("xgettext")),
}
SLOW = "model or journey"


def install_packages() -> list[str]:
    """Install the missing packages where that is allowed; return those that are still missing."""
    missing = [name for name, is_there in PACKAGES.items() if not is_there()]
    if not missing or not shutil.which("apt-get"):
        return missing
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if prefix and subprocess.run([*prefix, "true"], capture_output=True).returncode:
        return missing
    print(f"> Installing {', '.join(missing)}", flush=True)
    quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
    subprocess.run([*prefix, "apt-get", "update", "-qq"], check=False, **quiet)
    # one by one: a package that cannot be had does not keep the others away
    for name in missing:
        subprocess.run(
            [*prefix, "apt-get", "install", "-y", "-qq", "--no-install-recommends", name], check=False, **quiet
        )
    return [name for name in missing if not PACKAGES[name]()]


@contextlib.contextmanager
def redis() -> Iterator[str]:
    port = free_port()
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


def prepare_model() -> None:
    if not (BASE_MODEL / "config.json").exists():
        subprocess.run([sys.executable, "-m", "ml", "prepare", str(BASE_MODEL)], cwd=ROOT, check=True)


def run_pytest(title: str, *arguments: str, **environment: str) -> dict[str, int]:
    """Run pytest and return its counts: passed, failed (errors too), skipped."""
    print(f"\n> {title}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        started = time.monotonic()
        done = subprocess.run(
            [BIN / "pytest", "-q", f"--junitxml={report}", "-o", "junit_family=xunit1", *arguments],
            cwd=ROOT, env={**os.environ, "EMEND_TEST_MODEL": str(BASE_MODEL), **environment},
        )  # fmt: skip
        counts = {"passed": 0, "failed": 0, "skipped": 0}
        if report.exists():
            suite = ElementTree.parse(report).getroot().find("testsuite")
            assert suite is not None
            counts["failed"] = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            counts["skipped"] = int(suite.get("skipped", 0))
            counts["passed"] = int(suite.get("tests", 0)) - counts["failed"] - counts["skipped"]
        if done.returncode and not counts["failed"]:
            counts["failed"] = 1  # pytest itself broke
        print(f"> {title}: {counts} in {time.monotonic() - started:.0f} s", flush=True)
    return counts


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    missing = install_packages()
    left_out = [f"{name} is not installed and could not be installed here" for name in missing]
    clients = Preparation()  # while the fast tests run
    prepare_model()
    arguments = sys.argv[1:]
    runs = [run_pytest("Unit, view and API tests on SQLite", "-n", "2", "-m", f"not ({SLOW})", *arguments)]
    with contextlib.ExitStack() as servers:
        if "postgresql" in missing:
            left_out.append("the suite on PostgreSQL")
        else:
            url = servers.enter_context(postgresql())
            # nothing in tests/ml knows of a database
            fast = ("-n", "2", "-m", f"not ({SLOW} or any_database)", "--ignore=tests/ml", *arguments)
            runs.append(run_pytest("The same on PostgreSQL", *fast, DATABASE_URL=url))
        extra = {}
        if "postgresql" not in missing and "redis-server" not in missing:
            extra = {"EMEND_TEST_POSTGRESQL": url, "EMEND_TEST_REDIS": servers.enter_context(redis())}
        else:
            left_out.append("the start-up test on PostgreSQL and Redis")
        if "chromium" in missing:
            left_out.append("the journeys in Chromium")
        left_out += clients.wait()
        # a file's tests share what they started, so they stay together, in the order of tests/conftest.py;
        # two files run at a time, so that a second thread of a trainer would mostly wait
        slow = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--durations=12", "-m", SLOW, *arguments)
        runs.append(run_pytest("The real model and the journeys", *slow, EMEND_ML_THREADS="1", **extra))
    total = {key: sum(counts[key] for counts in runs) for key in ("passed", "failed", "skipped")}
    print("\nLeft out: " + ("; ".join(left_out) if left_out else "nothing."))
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    sys.exit(1 if total["failed"] else 0)


if __name__ == "__main__":
    main()
