"""Searching 100,000 tasks, submissions and examples over HTTP, on both databases; and importing 100,000 prompts.

Each figure is a whole page of results, from the request to the last byte, as a reviewer sees it. EMEND_BENCH_ROWS=5000
makes a small one.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from urllib.parse import quote

from benchmarks.labeling import N_ROWS, ROOT, Browser, in_ms, serving
from scripts.servers import free_port, postgres_bin, postgresql

QUERIES = {"rare": "quokka", "common": "bread", "chinese": "面包", "two_words": "bread quokka", "nothing": "zzyzx"}
REPEATS = 12


def rows(environment: dict[str, str], *arguments: str) -> dict[str, object]:
    command = [sys.executable, "-m", "benchmarks.search_rows", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def search(browser: Browser, kind: str) -> dict[str, object]:
    figures: dict[str, object] = {}
    for name, words in QUERIES.items():
        took_s = []
        for _repeat in range(REPEATS):
            began = time.perf_counter()
            status, _location, body = browser.ask(f"/p/archive/search/?kind={kind}&q={quote(words)}")
            took_s.append(time.perf_counter() - began)
            assert status == 200, f"no results: {status}"
            assert (b"<mark>" in body) == (name != "nothing"), f"{name} is not what was looked for"
        figures[name] = {key: value for key, value in in_ms(took_s).items() if key != "p99_ms"}
    began = time.perf_counter()
    status, _location, _body = browser.ask(f"/p/archive/search/counts/?kind={kind}&q={quote(QUERIES['chinese'])}")
    assert status == 200, f"no counts: {status}"
    figures["counts_of_all_kinds_ms"] = round((time.perf_counter() - began) * 1000, 1)
    print(f"  {kind}: {json.dumps(figures)}", file=sys.stderr, flush=True)
    return figures


def bench(name: str, database_url: str) -> dict[str, object]:
    print(f"> Searching on {name}, {N_ROWS:,} rows of each kind", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="emend-bench-") as folder:
        environment = {**os.environ, "EMEND_VAR_DIR": folder, "EMEND_BROKER_URL": "memory://"}
        environment |= {"DATABASE_URL": database_url or f"sqlite:///{folder}/emend.sqlite3"}
        for command in (("migrate", "-v0"), ("collectstatic", "--noinput", "-v0")):
            subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True)
        seeded = rows(environment, "seed", str(N_ROWS))
        port = free_port()
        with serving(environment, port):
            browser = Browser(port, str(seeded["admin"]))
            figures: dict[str, object] = {kind: search(browser, kind) for kind in ("tasks", "submissions", "examples")}
        figures["import"] = rows(environment, "import", str(N_ROWS))
        print(f"  import: {json.dumps(figures['import'])}", file=sys.stderr, flush=True)
        return figures


def main() -> None:
    wanted = os.environ.get("EMEND_BENCH_DATABASES") or "sqlite,postgresql"
    figures: dict[str, object] = {"rows": N_ROWS}
    if "sqlite" in wanted:
        figures["sqlite"] = bench("SQLite", "")
    if "postgresql" in wanted:
        if postgres_bin() is None:
            sys.exit("PostgreSQL is not installed; `make test` installs it where that is allowed.")
        with postgresql(is_durable=True) as url:
            figures["postgresql"] = bench("PostgreSQL", url)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
