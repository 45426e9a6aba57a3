"""How accounts come to be, by invitation only, and how the secrets of their second factor are kept."""

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.http import HttpRequest

from common.seal import seal, unseal

PURPOSE = "second factor"


class InvitationAdapter(DefaultAccountAdapter):
    """Closes the public sign-up; an invitation's own page makes the account (labeling.actions.people)."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False


class SealedSecretsAdapter(DefaultMFAAdapter):
    """Keeps authenticator secrets and recovery codes encrypted: a copy of the database alone opens no account."""

    def encrypt(self, text: str) -> str:
        return seal(text, purpose=PURPOSE)

    def decrypt(self, encrypted_text: str) -> str:
        return unseal(encrypted_text, purpose=PURPOSE)
