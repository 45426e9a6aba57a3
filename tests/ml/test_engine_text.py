from hypothesis import given
from hypothesis import strategies as st

from ml.engine_text import TextStream
from tests.ml.engine_cast import create_tokenizer

BACKEND = create_tokenizer().backend_tokenizer


def stream(text: str, stop: tuple[str, ...] = ()) -> tuple[list[str], TextStream]:
    """The pieces in which `text` is released, the last one at the end."""
    stream = TextStream(BACKEND, stop)
    pieces = []
    for token in BACKEND.encode(text).ids:
        pieces.append(stream.push(token))
        if stream.is_stopped:
            break
    return [*pieces, stream.finish()], stream


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_pieces_add_up_to_the_text(text):
    pieces, _ = stream(text)
    # What is not a character at the very end cannot be told from half of one.
    assert "".join(pieces).rstrip("\ufffd") == text.rstrip("\ufffd")


@given(st.text("你好🙂é\u200d👩"))
def test_no_piece_has_half_a_character(text):
    pieces, _ = stream(text)
    assert "\ufffd" not in "".join(pieces)


def test_a_character_comes_with_its_last_token():
    pieces, _ = stream("你🙂")
    assert [piece for piece in pieces if piece] == ["你", "🙂"]
    assert len(pieces) > 6


def test_half_a_character_at_the_end_is_dropped():
    stream = TextStream(BACKEND)
    pieces = [stream.push(token) for token in BACKEND.encode("a🙂").ids[:-1]]
    assert "".join(pieces) + stream.finish() == "a"


def test_broken_bytes_between_characters_are_replaced_and_hold_nothing_up():
    stream = TextStream(BACKEND)
    half = BACKEND.encode("🙂").ids[:2]
    pieces = [stream.push(token) for token in [*half, *BACKEND.encode("then text").ids]]
    assert "".join(pieces).endswith("then text")


@given(st.text("abc", max_size=30), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3))
def test_stop_strings_cut_where_the_first_one_completes(text, stops):
    pieces, at_end = stream(text, tuple(stops))
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    assert at_end.is_stopped == bool(ends)
    if ends:
        read = text[: min(ends)]
        # A token may hold more than one character, so the cut is at the earliest stop in what had been read.
        assert any(text.startswith("".join(pieces) + stop) for stop in stops)
        assert len("".join(pieces)) < len(read)
    else:
        assert "".join(pieces) == text


def test_the_beginning_of_a_stop_string_is_kept_back_until_it_is_none():
    text = TextStream(BACKEND, ["END"])
    e, n, x = (BACKEND.encode(c).ids[0] for c in "ENx")
    assert [text.push(e), text.push(n)] == ["", ""]
    assert text.push(x) == "ENx"


def test_the_beginning_of_a_stop_string_is_text_at_the_end():
    pieces, at_end = stream("wait EN", ("END",))
    assert ("".join(pieces), at_end.is_stopped) == ("wait EN", False)


def test_a_stop_string_inside_multibyte_text():
    pieces, at_end = stream("你好。再见", ("。",))
    assert ("".join(pieces), at_end.is_stopped) == ("你好", True)


def test_special_tokens_are_not_text():
    stream = TextStream(BACKEND)
    ids = [0, *BACKEND.encode("hi").ids, 1]
    assert "".join(stream.push(token) for token in ids) + stream.finish() == "hi"
