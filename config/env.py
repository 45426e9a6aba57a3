"""Strict reading of the environment: nonsense fails at the start, with a hint, and never later."""

import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def read_text(name: str, default: str) -> str:
    """Return the variable, or the default when it is unset or empty."""
    return os.environ.get(name) or default


def read_bool(name: str, default: bool) -> bool:
    """Return True for 1, true, yes, on and False for 0, false, no, off; anything else raises."""
    text = os.environ.get(name, "").strip().lower()
    if not text:
        return default
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name}={text!r} is neither yes nor no. Write {name}=1 or {name}=0.")


def read_int(name: str, default: int, *, least: int = 0) -> int:
    """Return a whole number that is at least `least`; anything else raises."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={text!r} is not a whole number.") from None
    if number < least:
        raise ImproperlyConfigured(f"{name}={number} is too small: {least} or more.")
    return number


def read_choice(name: str, choices: Sequence[str]) -> str:
    """Return one of the choices, "" when it is unset; anything else raises."""
    text = os.environ.get(name, "").strip().lower()
    if text and text not in choices:
        raise ImproperlyConfigured(f"{name}={text!r} is not known. Write one of: {', '.join(choices)}.")
    return text


def read_list(name: str, default: list[str]) -> list[str]:
    """Return the comma-separated parts, without empty ones."""
    text = os.environ.get(name, "")
    return [part.strip() for part in text.split(",") if part.strip()] or default


def read_origins(name: str) -> list[str]:
    """Return the comma-separated origins as browsers send them, scheme, host and port; `*` alone means all. Others raise."""
    origins = read_list(name, [])
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"https?://[a-z0-9.\[\]:-]+", origin):
            raise ImproperlyConfigured(f"{name}: {origin!r} is no origin. Write https://app.example.org, or * for all.")
    return origins


def read_secret(name: str, path: Path) -> str:
    """Return the variable, else the secret kept in the file, which is made on first use and readable by its owner only."""
    if os.environ.get(name):
        return os.environ[name]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(50))
        except FileExistsError:  # another process was first
            pass
    return path.read_text().strip()
