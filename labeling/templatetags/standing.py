"""Figures by person, for tables of people."""

from collections.abc import Mapping
from typing import Any

from django import template

register = template.Library()


@register.filter
def item(figures: Mapping[Any, Any], key: Any) -> Any:
    """Return the figure of that key, None where there is none."""
    return figures.get(key)
