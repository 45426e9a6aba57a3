"""Starts all of Emend on this machine under one process manager (supervisor) and stops all of it on Ctrl-C.

Web (ASGI), two Celery workers (queues `default` and `gpu`), beat, and the embedded engine. A part that dies is started
again. Logs lie in var/log. Nothing of it outlives this process.
"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("EMEND_VAR_DIR") or ROOT / "var").resolve()
RUN, LOG = VAR / "run", VAR / "log"
HOST = os.environ.get("EMEND_HOST") or "127.0.0.1"
PR_SET_PDEATHSIG = 1
START_LIMIT_S = 120
STOP_LIMIT_S = 25


def stop(text: str) -> None:
    sys.exit(f"\nEmend cannot start: {text}")


def read_port(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdigit() or not 0 < int(text) < 65536:
        stop(f"{name}={text!r} is no port. Use a number from 1 to 65535.")
    return int(text)


def read_web_processes() -> int:
    """Two share the work where the database is a server; SQLite lets one write at a time, so there a second one only waits."""
    has_server = not (os.environ.get("DATABASE_URL") or "sqlite").startswith("sqlite")
    text = os.environ.get("EMEND_WEB_PROCESSES") or ("2" if has_server else "1")
    if not text.isdigit() or not 0 < int(text) < 65:
        stop(f"EMEND_WEB_PROCESSES={text!r} is no number from 1 to 64.")
    return int(text)


def require_free(port: int, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            stop(f"port {port} may only be used by root. Choose another one: {name}={port + 8000} make run")
        except OSError as error:
            stop(
                f"port {port} on {HOST} is not free ({error.strerror}). Choose another one: {name}={port + 10} make run"
            )


def programs(port: int, engine_port: int) -> dict[str, tuple[str, int]]:
    """Name to (command, seconds it may take to stop)."""
    python = sys.executable
    celery = f"{python} -m celery -A config"
    threads = os.environ.get("EMEND_ML_THREADS") or "0"
    web = (
        f"{python} -m uvicorn config.asgi:application --host {HOST} --port {port} --no-access-log"
        " --timeout-graceful-shutdown 3 --loop config.loop:SharingLoop",
        6,
    )
    return {
        "engine": (
            f"{python} -m ml serve --root {VAR} --host 127.0.0.1 --port {engine_port} --token-file {VAR / 'engine_token'}"
            + (f" --threads {threads}" if threads != "0" else ""),
            5,
        ),
        **{"web" if number == 1 else f"web-{number}": web for number in range(1, read_web_processes() + 1)},
        "worker-default": (f"{celery} worker -n default@%%h -Q default -P threads -c 4 --loglevel INFO", 10),
        "worker-gpu": (f"{celery} worker -n gpu@%%h -Q gpu -P threads -c 1 --loglevel INFO", 15),
        "beat": (f"{celery} beat -s {RUN / 'beat-schedule'} --pidfile= --loglevel WARNING", 5),
    }


def write_configuration(port: int, engine_port: int) -> Path:
    lines = [
        "[supervisord]",
        "nodaemon=true",
        "silent=true",
        f"directory={ROOT}",
        f"logfile={LOG / 'supervisord.log'}",
        f"pidfile={RUN / 'supervisord.pid'}",
        f"childlogdir={LOG}",
        "",
    ]
    for name, (command, stop_s) in programs(port, engine_port).items():
        lines += [
            f"[program:{name}]",
            f"command={command}",
            f"directory={ROOT}",
            "autorestart=true",
            "startsecs=2",
            "startretries=1000",
            f"stopwaitsecs={stop_s}",
            "stopasgroup=true",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={LOG / (name + '.log')}",
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=3",
            "",
        ]
    path = RUN / "supervisord.conf"
    path.write_text("\n".join(lines))
    return path


def die_with_parent() -> None:
    """In the child, before it starts: be stopped by the kernel when this process dies, even by SIGKILL (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def ask_health(url: str) -> dict[str, object]:
    """Return what /healthz says, an empty dict while nothing answers."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=3) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        try:
            return json.load(error)
        except ValueError:
            return {}
    except (OSError, ValueError):
        return {}


def wait_until_ready(manager: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    health: dict[str, object] = {}
    while time.monotonic() < deadline:
        if manager.poll() is not None:
            stop(f"the process manager ended with code {manager.returncode}. Its log: {LOG / 'supervisord.log'}")
        health = ask_health(url)
        if health.get("status") == "ok":
            return
        time.sleep(0.3)
    print(f"\nNot everything is up after {START_LIMIT_S} s: {json.dumps(health)}\nThe logs are in {LOG}", flush=True)


def main() -> None:
    port, engine_port = read_port("EMEND_PORT", 8000), read_port("EMEND_ENGINE_PORT", 8101)
    for folder in (RUN, LOG):
        folder.mkdir(parents=True, exist_ok=True)
    lock = (RUN / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stop(f"it already runs on the data in {VAR}. Stop the other one first.")
    require_free(port, "EMEND_PORT")
    require_free(engine_port, "EMEND_ENGINE_PORT")

    url = os.environ.get("EMEND_URL") or f"http://{'127.0.0.1' if HOST == '0.0.0.0' else HOST}:{port}"
    environment = {
        **os.environ,
        "EMEND_VAR_DIR": str(VAR),
        "EMEND_URL": url,
        "EMEND_ENGINE_URL": f"http://127.0.0.1:{engine_port}",
        "PYTHONUNBUFFERED": "1",
    }
    manager = subprocess.Popen(
        [sys.executable, "-m", "supervisor.supervisord", "-c", write_configuration(port, engine_port)],
        cwd=ROOT,
        env=environment,
        start_new_session=True,
        preexec_fn=die_with_parent,
        pass_fds=(lock.fileno(),),
    )

    def end(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a shell's background job starts with SIGINT ignored
        signal.signal(sign, end)
    try:
        wait_until_ready(manager, f"http://127.0.0.1:{port}")
        print(
            f"\n  Emend answers on  {url}\n"
            f"  Accounts          {VAR / 'demo-accounts.txt'}\n"
            f"  Logs              {LOG}\n"
            "  Ctrl-C stops everything.\n",
            flush=True,
        )
        manager.wait()
        stop(f"the process manager ended with code {manager.returncode}. Its log: {LOG / 'supervisord.log'}")
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("\nStopping ...", flush=True)
        manager.terminate()
        try:
            manager.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(manager.pid, signal.SIGKILL)
        print("Stopped. Everything is kept in", VAR)


if __name__ == "__main__":
    main()
