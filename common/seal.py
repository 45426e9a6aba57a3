"""Secrets that have to be read again, kept so that a copy of the database alone gives nothing away."""

import base64
import hashlib

from cryptography.fernet import Fernet
from django.conf import settings


def seal(text: str, *, purpose: str) -> str:
    return _cipher(purpose).encrypt(text.encode()).decode()


def unseal(sealed: str, *, purpose: str) -> str:
    """Return the text. Raises cryptography's InvalidToken when SECRET_KEY is another one by now."""
    return _cipher(purpose).decrypt(sealed.encode()).decode()


def _cipher(purpose: str) -> Fernet:
    """The cipher whose key follows from SECRET_KEY; each purpose has its own."""
    digest = hashlib.sha256(f"emend {purpose}".encode() + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
