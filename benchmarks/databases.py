"""Running a benchmark's `measure` on both databases."""

import json
import os
import subprocess
import sys
import tempfile

from scripts.servers import postgres_bin, postgresql


def run_on_both(name: str) -> None:
    """Run `python -m benchmarks.<name>` on SQLite and PostgreSQL, each in a process and on a database of its own; print one JSON line."""
    figures: dict[str, object] = {"sqlite": _run(name, "")}
    if postgres_bin():
        with postgresql() as url:
            figures["postgresql"] = _run(name, url)
    print(json.dumps({name: figures}))


def _run(name: str, database_url: str) -> object:
    with tempfile.TemporaryDirectory(prefix="emend-bench-") as folder:
        environment = {**os.environ, "EMEND_VAR_DIR": folder, "DJANGO_SETTINGS_MODULE": "config.settings"}
        environment |= {"EMEND_SECRET_KEY": "only for the benchmark", "DATABASE_URL": database_url}
        if not database_url:
            del environment["DATABASE_URL"]
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])
