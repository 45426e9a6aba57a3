from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

PAGE_SIZE = 50


def paginate(request: HttpRequest, rows: "QuerySet[Any] | list[Any]", *, size: int = PAGE_SIZE) -> "Page[Any]":
    """Return the page that `?page=` names; nonsense gives the first, too far gives the last."""
    return Paginator(rows, size).get_page(request.GET.get("page"))
