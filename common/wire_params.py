"""The fields of a request to /v1, each checked as it is taken."""

from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import Model, QuerySet
from django.http import QueryDict

from common.wire import WireError

MAX_PAIRS, MAX_NAME, MAX_VALUE = 16, 64, 512


class Params:
    """A body's fields. A null is as good as no field. Every method raises WireError with the field's name as `param`."""

    def __init__(self, values: Mapping[str, Any], *, prefix: str = "") -> None:
        self._values, self._prefix = values, prefix

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def names(self) -> list[str]:
        return list(self._values)

    def raw(self, name: str) -> Any:
        return self._values.get(name)

    def text(self, name: str, default: str | None = None, *, most: int = 1_000_000) -> str:
        """Return a text; without a default it has to be there."""
        value = self._values.get(name)
        if value is None:
            if default is None:
                raise self.refuse(name, "you must provide this parameter", code="missing_required_parameter")
            return default
        if not isinstance(value, str):
            raise self.refuse(name, "expected a string")
        if len(value) > most:
            raise self.refuse(name, f"expected at most {most} characters, got {len(value)}")
        return value

    def choice(self, name: str, default: str | None, choices: list[str]) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise self.refuse(name, f"{value[:60]!r} is not one of {', '.join(choices)}")
        return value

    def whole(self, name: str, default: int | None, *, least: int, most: int) -> int | None:
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.refuse(name, f"expected an integer from {least} to {most}")
        return value

    def number(self, name: str, default: float | None, *, least: float, most: float) -> float | None:
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self.refuse(name, f"expected a number from {least:g} to {most:g}")
        return value

    def flag(self, name: str) -> bool:
        value = self._values.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.refuse(name, "expected true or false")
        return bool(value)

    def inner(self, name: str) -> "Params":
        """Return the object in this field, an empty one where there is none."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self.refuse(name, "expected an object")
        return Params(value or {}, prefix=f"{self._prefix}{name}.")

    def metadata(self, name: str = "metadata") -> dict[str, str] | None:
        """Return at most 16 pairs of texts, None where there are none."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict) or len(value) > MAX_PAIRS:
            raise self.refuse(name, f"expected an object with at most {MAX_PAIRS} pairs")
        for key, text in value.items():
            if len(key) > MAX_NAME or not isinstance(text, str) or len(text) > MAX_VALUE:
                raise self.refuse(
                    f"{name}.{key[:MAX_NAME]}",
                    f"expected a string of at most {MAX_VALUE} characters under a short name",
                )
        return value

    def refuse(self, name: str, why: str, *, code: str | None = None) -> WireError:
        """Return the error that this field is wrong, for the caller to raise."""
        return WireError(f"Invalid '{self._prefix}{name}': {why}.", param=f"{self._prefix}{name}", code=code)


def list_page(
    rows: "QuerySet[Any]",
    query: QueryDict,
    *,
    show: Callable[[Any], dict[str, Any]],
    default: int = 20,
    most: int = 100,
    order: str = "desc",
) -> dict[str, Any]:
    """Return one page of rows that carry a `key`: `limit` of them after the row of the key `after`, newest first.

    An unknown `after` is refused: an empty page would look like the end of the list.
    """
    asked, after, order = query.get("limit"), query.get("after"), query.get("order") or order
    if order not in ("asc", "desc"):
        raise WireError("Invalid 'order': expected asc or desc.", param="order")
    limit = default
    if asked:
        if not (asked.isascii() and asked.isdigit() and len(asked) < 10 and int(asked) >= 1):
            raise WireError(f"Invalid 'limit': expected an integer from 1 to {most}.", param="limit")
        limit = min(int(asked), most)
    if after:
        row: Model | None = rows.filter(key=after).first() if "\x00" not in after else None
        if row is None:
            raise WireError(f"Invalid 'after': there is no {after[:100]!r} in this list.", param="after")
        rows = rows.filter(pk__lt=row.pk) if order == "desc" else rows.filter(pk__gt=row.pk)
    found = list(rows.order_by("-pk" if order == "desc" else "pk")[: limit + 1])
    data = [show(row) for row in found[:limit]]
    return {
        "object": "list",
        "data": data,
        "has_more": len(found) > limit,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }
