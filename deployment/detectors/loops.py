"""Answers that say the same again and again.

The words are counted without digits, so that a loop with a counter is one too, and a Chinese, Japanese or Korean character
is a word. Five shapes: one sentence is all there is, again and again; the same letters come again within one word; the end
repeats one group of words; few of the runs of four words are different; one long sentence comes many times.
"""

from collections import Counter

import regex

from deployment.detectors.answer import Answer

_WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]|\p{L}[\p{L}\p{M}'’]*")
_SENTENCE = regex.compile(r"[.!?。！？\n]+")
_SIGNS = regex.compile(r"([^\s\w]|_)(?:\s*\1){79,}|(\d+)(?:[\s,.]+\2){14,}")
# A few letters that come again within a word, as in "WelWelWel".
_SYLLABLES = regex.compile(r"(\p{L}{1,12}?)\1{11,}")
FEWEST_LETTERS = 36  # of such a word
_ASKS_FOR_IT = regex.compile(
    r"\b(?:repeat(?:ed|edly|ing|s)?|again and again|over and over|\d+ times|chorus|refrain|lyrics|tongue twister)\b"
    r"|重复|反复|[\d一二三四五六七八九十百]+\s*遍|副歌|歌词|绕口令",
    regex.IGNORECASE,
)
LONGEST_PERIOD = 80
FEWEST_REPEATED = 24  # words that the repeated end must have
FEWEST_WORDS = 48
RUN = 4
TAIL = 120  # words: a long good beginning hides no loop
LEAST_DIFFERENT = 0.5
N_NOTHING_ELSE = 5  # sentences of an answer that are all the same
N_SAME_SENTENCES, FEWEST_IN_SENTENCE, LEAST_SHARE = 4, 5, 0.4


def find_loop(answer: Answer) -> str:
    if _ASKS_FOR_IT.search(answer.question):
        return ""
    if signs := _SIGNS.search(answer.text):
        return signs.group()[:40]
    pieces = [piece.strip() for piece in _SENTENCE.split(answer.text) if piece.strip()]
    if len(pieces) >= N_NOTHING_ELSE and len(set(pieces)) == 1:
        return pieces[0][:80]
    if letters := next((each for each in _SYLLABLES.finditer(answer.text) if len(each[0]) >= FEWEST_LETTERS), None):
        return letters[0][:40]
    words = [word.casefold() for word in _WORD.findall(answer.text)]
    lines = [line.strip() for line in answer.text.splitlines() if line.strip()]
    if len(lines) >= N_SAME_SENTENCES and len(set(lines[:-1])) == 1:
        return lines[0][:80]
    return (
        _repeated_end(words) or _few_runs(words) or _few_runs(words[-TAIL:]) or _same_sentences(answer.text, len(words))
    )


def _repeated_end(words: list[str]) -> str:
    """The group of words that the text ends in at least three times, a single word eight times, a single character a dozen."""
    for period in range(1, min(LONGEST_PERIOD, len(words) // 3) + 1):
        n = period
        while n < len(words) and words[-1 - n] == words[-1 - n + period]:
            n += 1
        if period == 1:
            least = 8 if len(words[-1]) > 1 else 12
        else:
            least = max(FEWEST_REPEATED if period > 3 else 18, 3 * period)
        if n >= least:
            return _join(words[-period:])
    return ""


def _few_runs(words: list[str]) -> str:
    if len(words) < FEWEST_WORDS:
        return ""
    runs = Counter(tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1))
    if len(runs) >= LEAST_DIFFERENT * runs.total():
        return ""
    return _join(runs.most_common(1)[0][0])


def _same_sentences(text: str, n_words: int) -> str:
    sentences = Counter(
        tuple(words)
        for sentence in _SENTENCE.split(text.casefold())
        if len(words := _WORD.findall(sentence)) >= FEWEST_IN_SENTENCE
    )
    for words, n in sentences.most_common(1):
        if n >= N_SAME_SENTENCES and n * len(words) >= LEAST_SHARE * n_words:
            return _join(words)
    return ""


def _join(words: tuple[str, ...] | list[str]) -> str:
    is_spaced = all(word.isascii() or len(word) > 1 for word in words)
    return (" " if is_spaced else "").join(words)[:80]
