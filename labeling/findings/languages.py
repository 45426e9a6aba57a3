"""The language of a text, by the Compact Language Detector 2, whose tables are inside its package."""

import re

import pycld2
from django.conf.locale import LANG_INFO

_FEWEST_LETTERS = 80  # lists of names are taken for any language
_FEWEST_CHARACTERS = 12  # of Chinese, Japanese or Korean
_LEAST_SHARE = 90
_NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\S+@\S+|[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", re.S
)
_WIDE = re.compile(r"[぀-ヿ㐀-䶿一-鿿가-힯]")
# The detector tells these apart at random in short texts, and so do many people.
_ALIKE = (
    {"no", "nb", "nn", "da", "sv"}, {"hr", "sr", "bs", "sl", "mk", "bg"}, {"id", "ms", "jv", "su"},
    {"gl", "pt", "es", "ca"}, {"cs", "sk"}, {"ru", "uk", "be"}, {"hi", "mr", "ne", "bh"}, {"en", "sco"}, {"de", "lb"},
)  # fmt: skip
_NAMES = "|".join(
    sorted({re.escape(info["name"].split(" ")[-1]) for info in LANG_INFO.values() if "name" in info}, key=len)
)
_NAMES_A_LANGUAGE = re.compile(
    rf"\b(?:{_NAMES}|Mandarin|Cantonese|Latin|translat\w+|languages?|bilingual)\b"
    r"|翻译|译成|译为|译文|[英中法德日韩俄]文|[英汉法德日韩俄]语|西班牙语|葡萄牙语|意大利语|拉丁语|阿拉伯语|语言|双语",
    re.IGNORECASE,
)


def detect_language(text: str) -> str | None:
    """Return the language of a text, as a code like "en"; None where it is short, mixed, code or uncertain."""
    prose = _NOT_PROSE.sub(" ", text)
    if sum(map(str.isalpha, prose)) < _FEWEST_LETTERS and len(_WIDE.findall(prose)) < _FEWEST_CHARACTERS:
        return None
    try:
        is_reliable, _n_bytes, guesses = pycld2.detect(prose)
    except pycld2.error:  # bytes that the detector refuses
        return None
    _name, code, share, _score = guesses[0]
    return code if is_reliable and share >= _LEAST_SHARE and code != "un" else None


def is_same_language(one: str, other: str) -> bool:
    """Whether two codes mean one language, or two that are easily taken for each other. Variants make no difference."""
    one, other = one.split("-")[0].lower(), other.split("-")[0].lower()
    return one == other or any(one in group and other in group for group in _ALIKE)


def find_other_language(*, prompt: str, answer: str) -> tuple[str, str] | None:
    """Return the languages of prompt and answer when they surely differ, None otherwise.

    A prompt that speaks of a language or of translating may well be answered in another one.
    """
    if _NAMES_A_LANGUAGE.search(prompt):
        return None
    asked, answered = detect_language(prompt), detect_language(answer)
    if asked is None or answered is None or is_same_language(asked, answered):
        return None
    return asked, answered
