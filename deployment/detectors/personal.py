"""Personal data that the answer brings in: what stands in the prompt was the asker's to say."""

import re
from collections.abc import Iterator

from deployment.detectors.answer import Answer
from labeling.findings.personal import find_personal

LONGEST = 20_000  # characters looked at
# A model invents numbers whose check digits are wrong: where the text itself says what a number is, its form is enough.
_LABELLED = {
    "card": re.compile(
        r"(?:\bcards?\b|\bvisa\b|mastercard|\bamex\b|信用卡|银行卡|卡号)[^\n\d]{0,30}(\d(?:[ -]?\d){12,18})(?!\d)", re.I
    ),
    "id": re.compile(
        r"(?:\bssn\b|social security)[^\n\d]{0,30}(\d{3}[- ]?\d{2}[- ]?\d{4})(?!\d)"
        r"|身份证[^\n\d]{0,12}([1-9]\d{16}[\dXx])|\bpassport\b[^\n\d]{0,20}?\b([A-Z]{1,2}\d{6,8})\b",
        re.I,
    ),
    "account": re.compile(
        r"\b(?:iban|account)\b[^\n\d]{0,20}?\b([A-Z]{2}\d{2}(?: ?[\dA-Z]{4}){3,7}(?: ?\d{1,3})?)\b", re.I
    ),
    "phone": re.compile(
        r"(?:\b(?:phone|telephone|cell|mobile|tel|whatsapp)\b|\b(?:call|ring|text|reach) (?:him|her|them|me|us)?\b|电话|手机|致电|拨打)"
        r"[^\n\d+(]{0,30}(\+?\(?\d(?:[ ().-]{0,2}\d){8,14})(?!\d)",
        re.I,
    ),
}
_SERVICE_NUMBER = re.compile(r"^(?:\+?1)?8(?:00|33|44|55|66|77|88)|^(?:400|0800)")


def find_personal_data(answer: Answer) -> str:
    """Return the kinds of data, not the data: the finding is shown in more places than the answer."""
    prompt = answer.prompt
    digits = re.sub(r"\D", "", prompt)
    kinds = []
    text = answer.text[:LONGEST]
    for kind, words in [*find_personal(text), *_labelled(text)]:
        own_digits = re.sub(r"\D", "", words)
        if words in prompt or (kind != "mail" and own_digits and own_digits in digits):
            continue
        if kind == "phone" and _SERVICE_NUMBER.match(re.sub(r"[^\d+]", "", words)):
            continue
        kinds.append(kind)
    return ", ".join(dict.fromkeys(kinds))


def _labelled(text: str) -> Iterator[tuple[str, str]]:
    for kind, pattern in _LABELLED.items():
        for match in pattern.finditer(text):
            yield kind, next(group for group in match.groups() if group)
