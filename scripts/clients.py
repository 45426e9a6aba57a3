"""The official clients of the interface that Emend serves, each in an environment of its own: `make test` drives a live server with them.

They cannot share one: three of them are the same package.
"""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "var" / "test" / "clients"
PYTHON_CLIENTS = {
    "legacy": ["openai==0.28.1", "pandas"],  # its prepare_data wants pandas
    "commands": ["openai==1.109.1"],  # the last series with a command line for /v1/fine_tuning/jobs is 1.x
    "current": ["openai==3.54.0"],
}
JAVASCRIPT_CLIENT = "openai@7.57.0"
CONSTRAINTS = ROOT / "constraints.txt"


class Preparation:
    """Installs what is missing while something else goes on; `wait` says what could not be had."""

    def __init__(self) -> None:
        self._missing: list[str] = []
        self._thread = threading.Thread(target=self._install, daemon=True)
        self._thread.start()

    def wait(self) -> list[str]:
        self._thread.join()
        return self._missing

    def _install(self) -> None:
        for name, packages in PYTHON_CLIENTS.items():
            if not install_python(FOLDER / name, packages):
                self._missing.append(f"the tests with {packages[0]}: it could not be installed")
        if shutil.which("node") is None or shutil.which("npm") is None:
            self._missing.append("the tests with the JavaScript SDK: Node.js is not installed")
        elif not install_javascript(FOLDER / "javascript"):
            self._missing.append(f"the tests with the JavaScript SDK: {JAVASCRIPT_CLIENT} could not be installed")


def install_python(folder: Path, packages: list[str]) -> bool:
    """Make an environment with these packages, by uv or else by pip; True where it is there."""
    stamp = "\n".join(packages)
    if is_installed(folder, stamp):
        return True
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin" / "python")
    pins = ["-c", str(CONSTRAINTS)] if "pandas" in packages else []
    uv = [sys.executable, "-m", "uv"]
    fast = [
        [*uv, "venv", "--python", sys.executable, str(folder)],
        [*uv, "pip", "install", "--python", python, *pins, *packages],
    ]
    slow = [
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [python, "-m", "pip", "--disable-pip-version-check", "install", *pins, *packages],
    ]
    is_there = any(all(succeeds(step) for step in steps) for steps in (fast, slow))
    return is_there and keep_stamp(folder, stamp)


def install_javascript(folder: Path) -> bool:
    if is_installed(folder, JAVASCRIPT_CLIENT):
        return True
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wanted = ["--no-audit", "--no-fund", "--ignore-scripts", JAVASCRIPT_CLIENT]
    return succeeds(["npm", "install", "--prefix", str(folder), *wanted]) and keep_stamp(folder, JAVASCRIPT_CLIENT)


def succeeds(command: list[str]) -> bool:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run(command, cwd=ROOT, check=False, **quiet).returncode == 0  # type: ignore[call-overload]


def is_installed(folder: Path, stamp: str) -> bool:
    file = folder / "installed"
    return file.exists() and file.read_text() == stamp


def keep_stamp(folder: Path, stamp: str) -> bool:
    (folder / "installed").write_text(stamp)
    return True


if __name__ == "__main__":
    print("\n".join(Preparation().wait()) or f"All clients are in {FOLDER}")
