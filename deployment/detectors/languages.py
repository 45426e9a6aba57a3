"""An answer in another language than the prompt's.

Longer texts are told apart by their words (labeling.findings.languages). A short prompt is told apart by its script, or by
the detector where it is sure. A prompt that speaks of a language, of translating or of code, or that itself has text of
the answer's script, may well be answered so.
"""

import re

import pycld2

from deployment.detectors.answer import Answer
from labeling.findings.languages import detect_language, find_other_language, is_same_language

FEWEST_LETTERS = 40  # of an answer in an alphabet
FEWEST_WIDE = 10  # of an answer in Chinese, Japanese or Korean
LEAST_SHARE = 0.7  # of the answer's letters
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_SCRIPTS = {
    "ru": "\u0400-\u052f",
    "el": "\u0370-\u03ff\u1f00-\u1fff",
    "he": "\u0590-\u05ff",
    "ar": "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff",
    "hi": "\u0900-\u0dff",  # and its neighbours in India
    "th": "\u0e00-\u0eff",
    "hy": "\u0530-\u058f",
    "ka": "\u10a0-\u10ff",
}
_SCRIPT = {code: re.compile(f"[{signs}]") for code, signs in _SCRIPTS.items()}
FEWEST_SIGNS = 12  # of an answer in one of these scripts
_LATIN_WORD = re.compile(r"[A-Za-zÀ-ÿ]{2,}")
_NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\S+@\S+|<[^<>\n]{1,80}>|[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", re.S
)
_TRANSLATES = r"\btranslat\w*|\bbilingual\b|翻译|译[成为文]|双语"
# Code is no language; where its signs are in the answer to such a prompt, nothing is told apart by words.
_ASKS_FOR_CODE = re.compile(
    r"\b(?:code|sql|python|javascript|html|regex|program)\b|代码|编程|函数|脚本|正则|程序|命令", re.IGNORECASE
)
_SIGNS_OF_CODE = re.compile(r"[(){}\[\]=<>_;\\|*#/`$]")
_SPEAKS_OF_IT = re.compile(
    rf"{_TRANSLATES}|\b(?:languages?(?! models?)|english|spanish|french|german|italian|portuguese|russian|arabic|hindi|latin|greek|hebrew|dutch|"
    r"swedish|polish|turkish|etymology|foreign|proverb|idiom|lyrics|quote)\b"
    r"|[英法德俄外]文|[英法德俄外]语|西班牙|葡萄牙|意大利|拉丁|阿拉伯|语言|单词|字母|缩写",
    re.IGNORECASE,
)
# Before an answer in another script, only what asks for that script counts.
_SPEAKS_OF_WIDE = re.compile(
    rf"{_TRANSLATES}|\b(?:chinese|mandarin|cantonese|japanese|korean|pinyin|kanji|haiku|china|japan|korea)\b|\bin (?:an)?other language"
    r"|[日外]文|[日外]语|语言|俳句",
    re.IGNORECASE,
)
# Before an answer in an alphabet of its own, only what asks for one of those.
_SPEAKS_OF_SCRIPT = re.compile(
    rf"{_TRANSLATES}|\b(?:languages?(?! models?)|arabic|persian|farsi|urdu|hebrew|yiddish|russian|ukrainian|bulgarian|serbian|macedonian|cyrillic|greek|hindi|"
    r"sanskrit|bengali|tamil|telugu|marathi|punjabi|thai|lao|armenian|georgian|mongolian|alphabet)\b"
    r"|[俄希]语|[俄希]文|希腊语|阿拉伯|希伯来|印地|泰语|语言|字母",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"[{};]\s*$|^\s*(?:def|class|import|from|function|public|SELECT|<\w+|#include|var|let|const|for|if|while)\b.*[:;({>]",
    re.M,
)


def find_wrong_language(answer: Answer) -> str:
    """Return the two languages, or scripts, as "en, zh"."""
    text = _NOT_PROSE.sub(" ", answer.text)
    question = _NOT_PROSE.sub(" ", answer.question)
    n_wide, n_letters = len(_WIDE.findall(text)), sum(map(str.isalpha, text))
    asked_wide, asked_latin = len(_WIDE.findall(question)), _LATIN_WORD.findall(question)
    if not n_letters or _CODE.search(text):
        return ""
    if _ASKS_FOR_CODE.search(answer.prompt) and _SIGNS_OF_CODE.search(answer.text):
        return ""
    n_kana = len(_KANA.findall(text))
    is_wanted = _SPEAKS_OF_WIDE.search(answer.prompt) is not None
    if asked_wide and n_kana >= FEWEST_WIDE and n_kana >= 0.25 * n_letters and not _KANA.search(question):
        return "" if is_wanted else "zh, ja"
    if n_wide >= FEWEST_WIDE and n_wide >= LEAST_SHARE * n_letters:
        return "" if is_wanted or asked_wide or len(asked_latin) < 2 else f"en, {detect_language(text) or 'zh'}"
    if script := _other_script(question, text, n_letters):
        is_wanted = _SPEAKS_OF_SCRIPT.search(answer.prompt) is not None
        return "" if is_wanted else f"{_detect(question, 12) or ('zh' if asked_wide else 'en')}, {script}"
    if _SPEAKS_OF_IT.search(answer.prompt):
        return ""
    if asked_wide >= 4 and n_wide < min(FEWEST_WIDE, 0.1 * n_letters) and n_letters >= FEWEST_LETTERS:
        is_prose = len(_LATIN_WORD.findall(text)) >= 6 or not re.search("[A-Za-z]", text)
        return "" if len(asked_latin) > 2 or not is_prose else f"zh, {_detect(text, FEWEST_LETTERS) or '?'}"
    if pair := find_other_language(prompt=question, answer=text):
        return ", ".join(pair)
    if n_wide or asked_wide:
        return ""
    if 2 * sum(word[0].islower() for word in _LATIN_WORD.findall(text)) < len(_LATIN_WORD.findall(text)):
        return ""  # a list of names
    asked, answered = _detect(question, 12), _detect(text, FEWEST_LETTERS)
    if asked and answered and not is_same_language(asked, answered):
        return f"{asked}, {answered}"
    return ""


def _other_script(question: str, text: str, n_letters: int) -> str:
    """Return the language that stands for the script of an answer, where the prompt has hardly a sign of it."""
    for code, script in _SCRIPT.items():
        n = len(script.findall(text))
        if n >= FEWEST_SIGNS and n >= LEAST_SHARE * n_letters:
            return "" if len(script.findall(question)) > 1 else _detect(text, FEWEST_LETTERS) or code
    return ""


def _detect(text: str, fewest: int) -> str | None:
    """Return the language of a short text where the detector is sure of it."""
    if sum(map(str.isalpha, text)) < fewest:
        return None
    try:
        is_reliable, _n_bytes, guesses = pycld2.detect(text, bestEffort=fewest < FEWEST_LETTERS)
    except pycld2.error:
        return None
    _name, code, share, _score = guesses[0]
    return code if is_reliable and share >= 90 and code != "un" else None
