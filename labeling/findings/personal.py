"""Personal data in a text: mail addresses, phone, card, identity and account numbers.

Numbers are checked by their own rules (check digits, dates of birth, numbering plans), so that a long number alone is no
finding. Addresses and numbers that are reserved for examples are nobody's.
"""

import re
from collections.abc import Iterator

import phonenumbers
from stdnum import iban, luhn
from stdnum.cn import ric
from stdnum.us import ssn

# Numbers without a country code are read by these plans; with one, every country's is known.
PHONE_REGIONS = ("US", "CN", "GB", "DE", "FR")
_FEWEST_PHONE_DIGITS = 10

_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])", re.ASCII)
_EXAMPLE_DOMAIN = re.compile(r"@(?:[\w-]+\.)*(?:example(?:\.(?:com|net|org))?|[\w-]+\.(?:example|test|invalid))$", re.I)
_CARD = re.compile(
    r"(?<![\w.,/=-])(?:\d{4}([ -]?)\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -]?)\d{6}\2\d{5})(?![\w-]|[.,]\d)", re.ASCII
)
# Visa, Mastercard, American Express, Discover, JCB, UnionPay, Maestro
_ISSUERS = re.compile(r"4|5[1-5]|2[2-7]|3[47]|6011|64|65|35|62|50|5[6-8]|63|67")
_CHINESE_ID = re.compile(r"(?<![\dA-Za-z])[1-9]\d{16}[\dXx](?![\dA-Za-z])")
_SSN = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])", re.ASCII)
_IBAN = re.compile(r"(?<![\dA-Za-z])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?![\dA-Za-z])")
_PHONE_LIKE = re.compile(r"\+?\(?\d[\d ().\-/]{7,}\d")
# A phone number is written as one: with a country code, in groups, or as a Chinese mobile number.
_WRITTEN_AS_PHONE = re.compile(r"\+\d|\(\d{2,5}\)|^\D*\d{2,5}([ .\-/])\d{2,4}\1?\d{2,8}|^1[3-9]\d{9}$")
_FICTION = re.compile(r"555[ .\-]?01\d\d$")
_YEARS = re.compile(r"(?:19|20)\d\d[ ]?[-/][ ]?(?:19|20)?\d\d")


def find_personal(text: str) -> list[tuple[str, str]]:
    """Return (what, words) of each piece of personal data in the order of the text's kinds, each once.

    `what`: mail, id, card, account or phone.
    """
    found: dict[str, str] = {}
    rest = text
    for what, finder in (("mail", _mails), ("id", _ids), ("account", _accounts), ("card", _cards), ("phone", _phones)):
        for words in finder(rest):
            found.setdefault(words, what)
            rest = rest.replace(words, " … ")
    return [(what, words) for words, what in found.items()]


def _mails(text: str) -> Iterator[str]:
    if "@" in text:
        yield from (words for words in _words(_MAIL, text) if not _EXAMPLE_DOMAIN.search(words))


def _ids(text: str) -> Iterator[str]:
    yield from (words for words in _words(_CHINESE_ID, text) if ric.is_valid(words))
    yield from (words for words in _words(_SSN, text) if ssn.is_valid(words))


def _accounts(text: str) -> Iterator[str]:
    yield from (words for words in _words(_IBAN, text) if iban.is_valid(words))


def _cards(text: str) -> Iterator[str]:
    for words in _words(_CARD, text):
        digits = re.sub(r"\D", "", words)
        if _ISSUERS.match(digits) and len(set(digits)) > 3 and luhn.is_valid(digits):
            yield words


def _phones(text: str) -> Iterator[str]:
    if not _PHONE_LIKE.search(text):
        return
    for region in PHONE_REGIONS:
        for match in phonenumbers.PhoneNumberMatcher(text, region, max_tries=200):
            words = match.raw_string
            if (
                sum(map(str.isdigit, words)) >= _FEWEST_PHONE_DIGITS
                and _WRITTEN_AS_PHONE.search(words)
                and not _FICTION.search(words)
                and not _YEARS.search(words)
            ):
                yield words


def _words(pattern: re.Pattern[str], text: str) -> list[str]:
    return [match.group() for match in pattern.finditer(text)]
