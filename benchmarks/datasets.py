"""Freezing examples into a dataset version, on both databases: seconds, memory, and how many times what the database itself
takes to write the same rows.

EMEND_BENCH_ROWS=1000000 makes a large one, EMEND_BENCH_DATABASES=sqlite leaves the other out.
"""

import json
import os
import subprocess
import sys
import tempfile

from benchmarks.labeling import N_ROWS, ROOT
from scripts.servers import postgres_bin, postgresql


def rows(environment: dict[str, str], *arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.dataset_rows", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def bench(name: str, database_url: str) -> dict[str, object]:
    print(f"> Freezing on {name}, {N_ROWS:,} rows", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="emend-bench-") as folder:
        environment = {**os.environ, "EMEND_VAR_DIR": folder, "EMEND_BROKER_URL": "memory://"}
        environment |= {"DATABASE_URL": database_url or f"sqlite:///{folder}/emend.sqlite3"}
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
        rows(environment, "seed", str(N_ROWS))
        frozen, written = rows(environment, "freeze"), rows(environment, "copy")
    ratio = round(frozen["freeze_s"] / written["insert_s"], 2)
    found = {"database": name, **frozen, **written, "freeze_per_insert": ratio}
    print(f"  {json.dumps(found)}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    wanted = (os.environ.get("EMEND_BENCH_DATABASES") or "postgresql,sqlite").split(",")
    figures = []
    if "postgresql" in wanted and postgres_bin():
        with postgresql(is_durable=True) as url:
            figures.append(bench("PostgreSQL", url))
    if "sqlite" in wanted:
        figures.append(bench("SQLite", ""))
    print(json.dumps({"benchmark": "datasets", "rows": N_ROWS, "figures": figures}))
