import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.urls import reverse

from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough password"


@pytest.fixture
def person(db):
    user = UserFactory(email="ann@example.com")
    user.set_password(PASSWORD)
    user.save()
    return user


def sign_in(client):
    return client.post(reverse("account_login"), {"login": "ann@example.com", "password": PASSWORD})


def switch_on(client):
    """Turn the second factor on, as the person does it, and return its secret."""
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    page = client.get(reverse("mfa_activate_totp")).content.decode()
    secret = re.search(r'id="authenticator_secret"[^>]*value="([A-Z2-7]+)"', page)[1]
    assert client.post(reverse("mfa_activate_totp"), {"code": code_of(secret)}).status_code == 302
    return secret


def code_of(secret):
    return format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time())))


def test_a_second_factor_is_asked_for_once_it_is_on_and_its_secret_is_sealed(client, person):
    assert sign_in(client).url == reverse("labeling-project-list")
    secret = switch_on(client)
    kept = Authenticator.objects.get(user=person, type=Authenticator.Type.TOTP)
    assert secret not in str(kept.data)
    assert TOTP(kept).validate_code(code_of(secret)) is True

    client.post(reverse("account_logout"))
    assert sign_in(client).url == reverse("mfa_authenticate")
    assert client.get(reverse("labeling-project-list")).status_code == 302
    client.post(reverse("mfa_authenticate"), {"code": "000000"})
    assert client.get(reverse("labeling-project-list")).status_code == 302


def test_a_recovery_code_opens_the_account_once(client, person):
    sign_in(client)
    switch_on(client)
    codes = client.get(reverse("mfa_download_recovery_codes")).content.decode().split()
    for expected in (200, 302):
        client.post(reverse("account_logout"))
        sign_in(client)
        client.post(reverse("mfa_authenticate"), {"code": codes[-1]})
        assert client.get(reverse("labeling-project-list")).status_code == expected
