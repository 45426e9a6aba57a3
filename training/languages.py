"""The names of languages, as Django knows them."""

from django.conf.locale import LANG_INFO
from django.utils.translation import gettext


def language_name(code: str) -> str:
    """Return the language's name in the reader's language, the code itself where it has none."""
    info = LANG_INFO.get({"zh": "zh-hans", "zh-Hant": "zh-hant"}.get(code, code.lower()), {})
    return gettext(info["name"]) if "name" in info else code
