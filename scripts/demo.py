"""`make demo`: the loop on the demo project, without a browser. An answer before, a cycle, the answer after.

Talks to the Emend that runs on these data, through the forms that people use; starts one where none runs and stops it at
the end. A question of one's own: `.venv/bin/python scripts/demo.py --question "..."`.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any, Self

import httpx
from serve import ROOT, STOP_LIMIT_S, VAR, ask_health, die_with_parent, read_port

SLUG = "demo"
ACCOUNTS = VAR / "demo-accounts.txt"
CASES = ROOT / "deployment" / "demo" / "cases.jsonl"
LINES = "application/x-ndjson"
READY_LIMIT_S = 300
ANSWER_LIMIT_S = 120


class DemoError(Exception):
    """The walk-through cannot go on; the text says why and what to do."""


def head(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)


def show(name: str, text: str) -> None:
    print(textwrap.fill(text, 100, initial_indent=f"{name:>10}  ", subsequent_indent=" " * 12), flush=True)


@contextmanager
def running(url: str) -> Iterator[None]:
    """Make sure that Emend answers; one that was started here is stopped at the end."""
    if ask_health(url):
        print(f"Emend runs already on {url}.")
        yield
        return
    print("Starting Emend ...", flush=True)
    command = [sys.executable, str(ROOT / "scripts" / "serve.py")]
    options = {"stdout": subprocess.DEVNULL, "start_new_session": True, "preexec_fn": die_with_parent}
    with subprocess.Popen(command, cwd=ROOT, **options) as server:  # type: ignore[call-overload]
        try:
            wait_for(url, server)
            yield
        finally:
            print("\nStopping Emend ...", flush=True)
            server.send_signal(signal.SIGTERM)
            server.wait(STOP_LIMIT_S + 10)


def wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_LIMIT_S
    while (health := ask_health(url)).get("status") != "ok":
        if server.poll() is not None:
            raise DemoError("Emend did not start; the reason is above.")
        if time.monotonic() > deadline:
            raise DemoError(f"Not everything is up after {READY_LIMIT_S} s: {health}. The logs are in {VAR / 'log'}.")
        time.sleep(0.3)


class Visitor:
    """A person with a browser, less the browser: signs in, asks, looks at their reports."""

    def __init__(self, url: str) -> None:
        headers = {"Accept-Language": "en", "Referer": url + "/"}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=ANSWER_LIMIT_S, follow_redirects=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def sign_in(self, email: str, password: str) -> None:
        form = {**self._hidden("/accounts/login/"), "login": email, "password": password}
        answer = self._client.post("/accounts/login/", data=form)
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise DemoError("Too many sign-ins in a short time. Try again in a minute.")
        if answer.is_error or "/accounts/login/" in answer.url.path:
            raise DemoError(
                f"{email} cannot sign in with the password in {ACCOUNTS}. Does the Emend at {self._client.base_url} "
                "work on other data (EMEND_VAR_DIR), or was the password changed?"
            )

    def ask(self, question: str) -> str:
        """Ask the deployment in a new chat and return its answer."""
        form = {**self._hidden(f"/p/{SLUG}/chat/"), "target": "assistant", "text": question}
        form |= {"temperature": "0", "max_tokens": "256"}
        pieces, last = [], ""
        address = f"/p/{SLUG}/chat/send/"
        with self._client.stream("POST", address, data=form, headers={"Accept": LINES}) as answer:
            if answer.is_error:
                raise DemoError(f"The chat did not take the question (HTTP {answer.status_code}).")
            for line in answer.iter_lines():
                item = json.loads(line)
                pieces.append(item.get("text", ""))
                last = item.get("html", last)
        text = "".join(pieces).strip()
        if not text:
            raise DemoError(f"There was no answer. The page says: {as_text(last)}")
        return text

    def case_of(self, question: str) -> str:
        """Return what has become of the person's report on an answer to this question, empty where there is none."""
        page = self._client.get(f"/p/{SLUG}/reports/").raise_for_status().text
        for section in page.split("<section")[1:]:
            if question in unescape(section):
                return as_text(section.split("<dl")[0].split(">", 1)[1].split('<span class="muted"><time')[0])
        return ""

    def _hidden(self, address: str) -> dict[str, str]:
        """Return the hidden fields of the page's main form, the CSRF token among them."""
        page = self._client.get(address)
        if page.status_code == httpx.codes.NOT_FOUND:
            raise DemoError(f"There is no page {address}. Is the demo project there? `manage.py create_demo` makes it.")
        fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.raise_for_status().text)
        return {name: unescape(value) for name, value in fields}


def as_text(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def read_tester() -> tuple[str, str]:
    """Return the tester's address and password."""
    if not ACCOUNTS.is_file():
        raise DemoError(f"There is no {ACCOUNTS}: run `make setup` first.")
    for line in ACCOUNTS.read_text().splitlines():
        role, email, password = line.split()
        if role == "tester":
            return email, password
    raise DemoError(f"{ACCOUNTS} names no tester.")


def run_cycle() -> dict[str, Any]:
    """Turn the loop once, its progress on this terminal, and return its numbers."""
    engine = f"http://127.0.0.1:{read_port('EMEND_ENGINE_PORT', 8101)}"
    environment = {"EMEND_ENGINE_URL": engine, **os.environ, "EMEND_VAR_DIR": str(VAR)}
    command = [sys.executable, "manage.py", "run_cycle", "--project", SLUG, "--wait"]
    options = {"stdout": subprocess.PIPE, "text": True, "start_new_session": True, "preexec_fn": die_with_parent}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **options) as cycle:  # type: ignore[call-overload]
        try:
            output = cycle.communicate()[0]
        except KeyboardInterrupt:
            cycle.send_signal(signal.SIGINT)  # it cancels or leaves the cycle, and says which
            cycle.wait(STOP_LIMIT_S)
            raise
    lines = output.splitlines()
    numbers = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    if cycle.returncode:
        reason = numbers.get("stop_reason") or f"manage.py run_cycle ended with code {cycle.returncode}."
        raise DemoError(f"The cycle did not end well. {reason} The logs are in {VAR / 'log'}.")
    return numbers


def tell(numbers: dict[str, Any]) -> None:
    """Say how the cycle ended and, where there was nothing to learn, how to see it learn."""
    print(json.dumps(numbers, ensure_ascii=False))
    if numbers["deployed"]:
        print(f"{numbers['model']} is live after {numbers['total_s']:.0f} s.")
        return
    print(numbers["stop_reason"])
    if not numbers["model"]:
        print(
            "To see it learn something new, sign in as the reviewer, correct an open case, and run this again.\n"
            "To start over on data of their own: EMEND_VAR_DIR=/tmp/emend-demo make demo"
        )


def walk(url: str, question: str) -> None:
    with Visitor(url) as tester:
        tester.sign_in(*read_tester())
        head("The tester asks")
        show("question", question)
        show("answer", tester.ask(question))
        if case := tester.case_of(question):
            show("report", case)
        head("One cycle: freeze, train, evaluate, deploy if better")
        numbers = run_cycle()
        tell(numbers)
        head("The tester asks again")
        show("question", question)
        show("answer", tester.ask(question))
        if case := tester.case_of(question):
            show("report", case)


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves as on Ctrl-C: nothing stays behind
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--question", help="what the tester asks; by default the question of the first corrected case")
    options = parser.parse_args()
    question = options.question or json.loads(CASES.read_text(encoding="utf-8").splitlines()[0])["prompt"]
    url = (os.environ.get("EMEND_URL") or f"http://127.0.0.1:{read_port('EMEND_PORT', 8000)}").rstrip("/")
    with running(url):
        walk(url, question)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nStopped. Run the command again to go on.")
    except (DemoError, httpx.HTTPError) as error:
        sys.exit(f"\nThe demo stopped: {error}")
