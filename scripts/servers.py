"""Throw-away servers for tests and benchmarks: in a folder of their own, on a free port, gone with the block that wanted them."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


def postgres_bin() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    anywhere = shutil.which("initdb")
    return Path(anywhere).parent if anywhere else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def postgresql(*, is_durable: bool = False) -> Iterator[str]:
    """Run a throw-away PostgreSQL and yield its DATABASE_URL. It refuses to run as root, so root hands it to `postgres`.

    Without `is_durable` it does not wait for the disk, which tests need not.
    """
    tools = postgres_bin()
    assert tools is not None
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="emend-postgresql-"))
    if as_user:
        shutil.chown(folder, "postgres", "postgres")
    port = free_port()
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run(
        [*as_user, tools / "initdb", "-D", folder / "data", "-U", "emend", "--auth=trust", "-E", "UTF8"],
        check=True, stdout=subprocess.DEVNULL, cwd="/", env=environment,
    )  # fmt: skip
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c max_connections=200"
    options += "" if is_durable else " -c fsync=off -c full_page_writes=off"
    control = [*as_user, tools / "pg_ctl", "-D", folder / "data"]
    subprocess.run(
        [*control, "-w", "-l", folder / "log", "-o", options, "start"],
        check=True, stdout=subprocess.DEVNULL, cwd="/", env=environment,
    )  # fmt: skip
    try:
        yield f"postgresql://emend@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], stdout=subprocess.DEVNULL, cwd="/", check=False)
        shutil.rmtree(folder, ignore_errors=True)
