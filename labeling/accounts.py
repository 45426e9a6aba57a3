"""How accounts come to be: by invitation only."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class InvitationAdapter(DefaultAccountAdapter):
    """Closes the public sign-up; an invitation's own page makes the account (labeling.actions.people)."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False
