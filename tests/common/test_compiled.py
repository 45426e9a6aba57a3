"""Statements that are compiled once."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from common.compiled import Compiled
from labeling.models import ApiKey


def build(key_hash, now):
    return ApiKey.objects.usable(now).select_related("project", "user").filter(key_hash=key_hash)


@pytest.fixture
def statement():
    yield (made := Compiled(build, str, type(timezone.now())))
    connection.__dict__.get("compiled", {}).pop(made, None)


def test_it_finds_what_its_queryset_finds_with_other_values_each_time(
    db, alice, project, statement, django_assert_num_queries
):
    now = timezone.now()
    for number, expires_at in enumerate([None, now + timedelta(seconds=1), now]):
        ApiKey.objects.create(
            project=project,
            user=alice if number else None,
            name="k",
            key_hash=f"h{number}",
            expires_at=expires_at,
            scopes=["files"],
        )
    with django_assert_num_queries(4):
        found = [statement.first(f"h{number}", now) for number in range(4)]
        assert (found[0].project, found[0].user) == (project, None)
        assert (found[1].user, found[1].scopes) == (alice, ["files"])
        assert found[1].expires_at == now + timedelta(seconds=1)
        assert found[2:] == [None, None]
    assert statement.first("h2", now - timedelta(seconds=1)) == ApiKey.objects.get(key_hash="h2")


def test_it_is_built_once(db, project):
    calls = []
    statement = Compiled(lambda text: calls.append(text) or ApiKey.objects.filter(key_hash=text), str)
    assert [statement.first("a"), statement.first("b")] == [None, None]
    assert len(calls) == 1


def test_a_value_that_is_not_compared_with_is_refused(db):
    with pytest.raises(ValueError, match=r"\[1\]"):
        Compiled(lambda text, number: ApiKey.objects.filter(key_hash=text), str, int).first("a", 1)
