"""What a project forbids or demands of every answer."""

import json

import regex

from deployment.detectors.answer import Answer, Rules

PATTERN_TIMEOUT_S = 0.2  # a pattern that takes longer finds nothing
_FENCE = regex.compile(r"\s*```(?:json)?\s*\n(.*?)\n?```\s*", regex.DOTALL)
_LETTER = r"[\p{L}\p{N}_]"
_NO_SPACES = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}]")


def find_broken_rule(answer: Answer, rules: Rules) -> str:
    if word := next((word for word in rules.forbidden_words if _says(answer.text, word)), ""):
        return word
    if rules.forbidden_pattern:
        try:
            if match := regex.search(rules.forbidden_pattern, answer.text, timeout=PATTERN_TIMEOUT_S):
                return match.group()[:80] or rules.forbidden_pattern
        except (TimeoutError, regex.error):
            pass
    if rules.must_be_json and not _is_json(answer.text):
        return "JSON"
    return ""


def _says(text: str, word: str) -> bool:
    """Whether the text has the word, whole; in scripts without blanks the run of characters is enough."""
    left = "" if _NO_SPACES.match(word[:1]) else rf"(?<!{_LETTER})"
    right = "" if _NO_SPACES.match(word[-1:]) else rf"(?!{_LETTER})"
    return regex.search(f"{left}{regex.escape(word)}{right}", text, regex.IGNORECASE) is not None


def _is_json(text: str) -> bool:
    """Whether the text is JSON, alone or in one fence, as models like to write it."""
    fenced = _FENCE.fullmatch(text)
    try:
        json.loads(fenced.group(1) if fenced else text)
    except ValueError:
        return False
    return True
