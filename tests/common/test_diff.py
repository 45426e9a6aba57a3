from hypothesis import given
from hypothesis import strategies as st

from common.diff import MAX_TOKENS, Piece, diff, diff_long, tokenize

TEXTS = st.text(alphabet=st.sampled_from("ab 中文\n.'é"), max_size=40)


def test_words_are_compared_whole() -> None:
    assert diff("Nobody knows it.", "Nobody can know it.") == [
        Piece("same", "Nobody "),
        Piece("removed", "knows"),
        Piece("added", "can know"),
        Piece("same", " it."),
    ]


def test_chinese_is_compared_by_the_character() -> None:
    assert diff("首都是悉尼。", "首都是堪培拉。") == [
        Piece("same", "首都是"),
        Piece("removed", "悉尼"),
        Piece("added", "堪培拉"),
        Piece("same", "。"),
    ]


def test_latin_words_inside_chinese_stay_whole() -> None:
    assert tokenize("用GPT模型isn't") == ["用", "GPT", "模", "型", "isn't"]


@given(TEXTS, TEXTS)
def test_the_pieces_spell_both_texts(before, after) -> None:
    pieces = diff(before, after)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == before
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == after
    assert (pieces == [Piece("same", before)]) == (before == after and before != "") or before == after == ""


def test_long_texts_are_compared_by_the_line() -> None:
    line = "word " * MAX_TOKENS
    assert diff(f"{line}\nend", f"{line}\nEnd") == [
        Piece("same", f"{line}\n"),
        Piece("removed", "end"),
        Piece("added", "End"),
    ]


def test_a_document_is_compared_line_by_line_and_then_word_by_word() -> None:
    lines = [f"Line number {n} of a long guide." for n in range(2000)]
    before = "\n".join(lines)
    after = before.replace("Line number 7 of a long", "Line number 7 of one short")
    pieces = [piece for piece in diff_long(before, after) if piece.kind != "same"]
    assert [(piece.kind, piece.text) for piece in pieces] == [("removed", "a long"), ("added", "one short")]
    assert "".join(piece.text for piece in diff_long(before, after) if piece.kind != "added") == before
