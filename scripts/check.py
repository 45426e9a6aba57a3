"""`make check`: everything about the code that can be judged without running the product. Prints what is wrong, exits 1."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polib

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CATALOGUES = sorted(ROOT.glob("locale/*/LC_MESSAGES/django.po"))

STEPS = {
    "lint": [BIN / "ruff", "check", "."],
    "format": [BIN / "ruff", "format", "--check", "."],
    "import contracts": [BIN / "lint-imports"],
    "types": [BIN / "mypy"],
    "templates": [BIN / "djlint", "templates", "--lint", "--quiet"],
    "Django": [sys.executable, "manage.py", "check", "--fail-level", "WARNING"],
    "migrations": [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"],
}


def run(command: list[object]) -> tuple[bool, str]:
    environment = {**os.environ, "EMEND_VAR_DIR": os.environ.get("EMEND_VAR_DIR") or str(ROOT / "var" / "check")}
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, env=environment)
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def check_catalogues() -> tuple[bool, str]:
    """Every string has its translation. Where gettext is installed, the strings are collected anew and the files left as they were."""
    wrong = []
    before = {path: path.read_bytes() for path in CATALOGUES}
    try:
        if shutil.which("xgettext"):
            command = [sys.executable, "manage.py", "makemessages", "--all", "--no-location", "--no-obsolete"]
            is_done, output = run([*command, "--ignore", ".venv/*", "--ignore", "var/*", "--ignore", ".envs/*"])
            if not is_done:
                return False, output
        for path in CATALOGUES:
            catalogue = polib.pofile(str(path))
            entries = [*catalogue.untranslated_entries(), *catalogue.fuzzy_entries()]
            wrong += [f"{path.relative_to(ROOT)}: {entry.msgid!r}" for entry in entries if not entry.obsolete]
    finally:
        for path, text in before.items():
            path.write_bytes(text)
    return not wrong, "\n".join(["Without translation:", *wrong[:40], f"({len(wrong)} in all)"])


def main() -> None:
    failed = []
    for name, step in [
        *((name, lambda c=command: run(c)) for name, command in STEPS.items()),
        ("translations", check_catalogues),
    ]:
        is_fine, output = step()
        print(f"{'ok  ' if is_fine else 'FAIL'}  {name}", flush=True)
        if not is_fine:
            failed.append(name)
            print(output, flush=True)
    if failed:
        sys.exit(f"\nmake check: {', '.join(failed)}")


if __name__ == "__main__":
    main()
