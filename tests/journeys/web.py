"""The web process alone, on SQLite, without workers and model: enough for the pages of writing, and quick to kill."""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext

from tests.journeys.conftest import ROOT, free_port, wait_for

# Makes a project with an admin and a contractor who has a prompt to answer; prints the contractor's session key.
ROWS = """
import sys
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from labeling.models import Membership, Project, Task, User
project = Project.objects.create(slug="kitchen", name="Kitchen", is_open_writing=True)
user = User.objects.create_user("cora@example.org", "correct horse battery", name="Cora")
Membership.objects.create(project=project, user=user, role="contractor")
for n in range(4):
    text = f"How long do I boil egg number {n}?"
    Task.objects.create(project=project, messages=[{"role": "user", "content": text}], prompt_hash=str(n), position=n)
session = import_module(settings.SESSION_ENGINE).SessionStore()
session[SESSION_KEY], session[BACKEND_SESSION_KEY] = str(user.pk), settings.AUTHENTICATION_BACKENDS[0]
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
print("session", session.session_key)
"""


@dataclass
class Web:
    """One web process: its folder, its port, and the session of a contractor."""

    var: Path
    port: int = field(default_factory=free_port)
    session: str = ""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: text for name, text in os.environ.items() if not name.startswith(("EMEND_", "DJANGO_"))}
        clean.pop("DATABASE_URL", None)
        return {**clean, "EMEND_VAR_DIR": str(self.var), "EMEND_LOG_LEVEL": "ERROR"}

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def lay_out(self, blank: Path) -> None:
        """Make the folder that the process needs: an empty database and the static files."""
        shutil.copytree(blank, self.var, dirs_exist_ok=True)
        self.manage("collectstatic", "--noinput", "--verbosity", "0")

    def prepare(self, blank: Path) -> None:
        self.lay_out(blank)
        self.session = self.manage("shell", "--verbosity", "0", "-c", ROWS).split()[-1]

    def start(self) -> None:
        command = [sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", str(self.port)]
        self.process = subprocess.Popen([*command, "--log-level", "error"], cwd=ROOT, env=self.environment)
        wait_for(self._answers, seconds=30, what="the web process answers")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/accounts/login/", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """SIGKILL: the process has no chance to finish anything."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=10)

    def rows(self, expression: str) -> object:
        """Return the value of an expression over the models, read from the database by a process of its own."""
        code = f"import json\nfrom labeling.models import *\nprint(json.dumps({expression}))"
        return json.loads(self.manage("shell", "--verbosity", "0", "-c", code).strip().splitlines()[-1])


@dataclass
class Stage(Web):
    """A web process on the project of tests.journeys.stage, with the sessions of its people and the keys of its rows."""

    sessions: dict[str, str] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)

    def prepare(self, blank: Path) -> None:
        self.lay_out(blank)
        told = json.loads(self.run("import json; from tests.journeys.stage import fill; print(json.dumps(fill()))"))
        self.sessions, self.keys = told["sessions"], told["keys"]

    def run(self, code: str) -> str:
        """Run Python with Django set up, in a process of its own, and return the last line that it printed."""
        return self.manage("shell", "--verbosity", "0", "-c", code).strip().splitlines()[-1]

    def enter(self, browser: Browser, role: str, session: str = "", **options: Any) -> BrowserContext:
        """Open a browser profile in which the person of that role is signed in, or nobody."""
        options = {"viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce", **options}
        context = browser.new_context(base_url=self.url, **options)
        if value := session or self.sessions.get(role):
            context.add_cookies([{"name": "emend_session", "value": value, "url": self.url}])
        return context
