"""The words of a text in the form in which rows are searched: the same on every database, with no extension needed.

A row keeps its words once each, in small letters, with a space around each: " bread oven ". A search for "bre" looks for
" bre": words are found by their beginning. Scripts without spaces between words are kept as overlapping pairs of
characters (面包店 as 面包 包店 店), so that a word of two characters is found wherever it stands.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from django.db import models
from django.db.models import Lookup

from labeling.search_index import has_word_table

# Chinese and Japanese, Thai and Lao, Burmese, Khmer
_UNSPACED = (
    r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\U00020000-\U0003ffff"
)
_WORD = re.compile(r"[\w\u0300-\u036f\u0900-\u0dff" + _UNSPACED + "]+")  # letters and digits with the marks on them
_PIECE = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_STARTS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_NO_ASCII_WORD = {code: " " for code in range(128) if not chr(code).isalnum()}
MAX_WORD = 60
MAX_LENGTH = 400_000  # so many characters of different words: what comes after is not searched


def _pieces(text: str) -> Iterator[str]:
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold().replace("_", " ")):
        if word.isascii():
            yield word
        else:
            yield from _PIECE.findall(word)


def words_of(text: str) -> Iterator[str]:
    """Yield what is kept of a text, in its order, with repetitions."""
    for piece in _pieces(text):
        if _STARTS_UNSPACED.match(piece):
            yield from (piece[at : at + 2] for at in range(len(piece)))
        else:
            yield piece[:MAX_WORD]


def _fast_words_of(text: str) -> Iterable[str]:
    """Return what `words_of` yields, several times as fast for a text of ASCII."""
    if not text.isascii():
        return words_of(text)
    words = text.lower().translate(_NO_ASCII_WORD).split()
    return words if len(text) <= MAX_WORD or len(max(words, key=len, default="")) <= MAX_WORD else words_of(text)


def wanted_words(query: str) -> list[str]:
    """Return the beginnings of words that a row has to have to answer a query."""
    wanted: list[str] = []
    for piece in _pieces(query):
        if _STARTS_UNSPACED.match(piece) and len(piece) > 1:
            wanted += [piece[at : at + 2] for at in range(len(piece) - 1)]
        else:
            wanted.append(piece[:MAX_WORD])
    return list(dict.fromkeys(wanted))


def searchable(*values: Any) -> str:
    """Return the words of texts and conversations as a row keeps them, "" where there are none."""
    texts = (
        value if isinstance(value, str) else "\n".join(turn["content"] for turn in value or [] if turn.get("content"))
        for value in values
    )
    words = " ".join(dict.fromkeys(chain.from_iterable(map(_fast_words_of, texts))))
    return f" {words[:MAX_LENGTH]} " if words else ""


class SearchTextField(models.TextField):  # type: ignore[type-arg]
    """The words of other fields of the row, written whenever the row is saved or made in bulk."""

    def __init__(self, *args: Any, sources: tuple[str, ...] = (), **kwargs: Any) -> None:
        self.sources = sources
        kwargs.setdefault("default", "")
        kwargs.setdefault("editable", False)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, kwargs | {"sources": self.sources}

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        text = searchable(*(getattr(model_instance, name) for name in self.sources))
        setattr(model_instance, self.attname, text)
        return text


@SearchTextField.register_lookup
class HasWord(Lookup):  # type: ignore[type-arg]
    """`search_text__has_word="bre"`: a word begins so.

    `wanted_words` makes words of letters and digits alone: nothing in them has to be escaped for LIKE or for MATCH.
    """

    lookup_name = "has_word"

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        column, params = self.process_lhs(compiler, connection)
        return f"{column} LIKE %s", [*params, f"% {self.rhs}%"]

    def as_sqlite(self, compiler: Any, connection: Any) -> Any:
        column, params = self.process_lhs(compiler, connection)
        table = self.lhs.target.model._meta.db_table
        if not has_word_table(connection, table):
            return f"instr({column}, %s) > 0", [*params, f" {self.rhs}"]
        key = f"{compiler.quote_name_unless_alias(self.lhs.alias)}.id"
        words = f"{table}_words"
        return f"{key} IN (SELECT rowid FROM {words} WHERE {words} MATCH %s)", [f'"{self.rhs}" *']
