"""The next part made while the last one is dealt with: order, errors, language, and no more than one part ahead."""

from collections.abc import Iterator

import pytest
from django.utils import translation

from common.ahead import ahead


def test_parts_come_in_order() -> None:
    assert list(ahead(range(50))) == list(range(50))
    assert list(ahead([])) == []


def test_an_error_comes_after_the_parts_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("line 2")

    parts = ahead(broken())

    assert next(parts) == 1
    with pytest.raises(ValueError, match="line 2"):
        next(parts)


def test_parts_are_made_in_the_callers_language() -> None:
    def languages() -> Iterator[str]:
        yield translation.get_language() or ""
        yield translation.get_language() or ""

    with translation.override("zh-hans"):
        assert list(ahead(languages())) == ["zh-hans", "zh-hans"]


def test_one_part_is_made_ahead_and_no_more() -> None:
    made: list[int] = []

    def counted() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            yield number

    parts = ahead(counted())
    next(parts)
    parts.close()

    assert len(made) <= 2
