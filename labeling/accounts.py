"""How accounts come to be, by invitation only, and how the secrets of their second factor are kept."""

import base64
import hashlib

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet
from django.conf import settings
from django.http import HttpRequest


class InvitationAdapter(DefaultAccountAdapter):
    """Closes the public sign-up; an invitation's own page makes the account (labeling.actions.people)."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False


class SealedSecretsAdapter(DefaultMFAAdapter):
    """Keeps authenticator secrets and recovery codes encrypted: a copy of the database alone opens no account."""

    def encrypt(self, text: str) -> str:
        return _seal().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _seal().decrypt(encrypted_text.encode()).decode()


def _seal() -> Fernet:
    """The cipher whose key follows from SECRET_KEY."""
    digest = hashlib.sha256(b"emend second factor" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
