"""Transactions that overlap: committed in order, and none behind one that failed."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from common.in_order import InOrder
from labeling.models import Tag
from tests.factories import ProjectFactory

pytestmark = pytest.mark.django_db(transaction=True)
one_writer_only = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite lets one write at a time")


@pytest.fixture
def tag() -> Callable[[str], None]:
    """Write a row that shows whether a transaction was committed."""
    project = ProjectFactory()
    return lambda name: Tag.objects.create(project=project, name=name)


def written() -> set[str]:
    return set(Tag.objects.values_list("name", flat=True))


@one_writer_only
def test_the_second_works_while_the_first_does_and_concludes_behind_it(tag) -> None:
    is_second_at_work, seen = threading.Event(), []

    def first() -> str:
        tag("1")
        assert is_second_at_work.wait(20), "the second waits for the first"
        return "1"

    def second() -> str:
        assert written() == set()
        tag("2")
        is_second_at_work.set()
        return "2"

    def conclude(name: str) -> None:
        seen.append((name, written()))

    with InOrder(n_threads=2) as order:
        order.run(first, conclude)
        order.run(second, conclude)
    assert seen == [("1", {"1"}), ("2", {"1", "2"})]


@pytest.mark.parametrize("n_threads", [0, pytest.param(2, marks=one_writer_only)])
def test_what_stands_behind_one_that_failed_is_rolled_back(tag, n_threads: int) -> None:
    def fail(_done: None) -> None:
        raise ValueError("second")

    def run_all() -> None:
        with InOrder(n_threads=n_threads) as order:
            order.run(lambda: tag("1"), lambda _done: None)
            order.run(lambda: tag("2"), fail)
            order.run(lambda: tag("3"), lambda _done: None)

    with pytest.raises(ValueError, match="second"):
        run_all()
    assert written() == {"1"}


@pytest.mark.parametrize("n_threads", [0, pytest.param(2, marks=one_writer_only)])
def test_an_error_of_the_callers_own_leaves_what_was_begun(tag, n_threads: int) -> None:
    def run_all() -> None:
        with InOrder(n_threads=n_threads) as order:
            order.run(lambda: tag("1"), lambda _done: None)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_all()
    assert written() == {"1"}
