"""Written and read again, a row is the same in every format, but for what the format is said to lose."""

import csv
import io
import json
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.conversations import ConversationError, canonical_json, canonical_texts, clean
from common.exports import csv_text
from training.formats import FORMATS, BadValue, Row, carry, find_format, recognise, tables
from training.queries.exporting import Shape, find_losses

TEXT_FORMATS = [each for each in FORMATS if not each.is_made_ahead]
A, B = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}
SYSTEM = {"role": "system", "content": "Be brief."}

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    st.sampled_from(
        ["=1+1", "'\"", '[{"role": 1}]', '"', "\ufeffx", "a\r\nb\rc\x85d\u2028e", "<|im_start|>", "-", "\x00a"]
    ),
    st.text("ab \n\",'", min_size=2000, max_size=2100),
)


@st.composite
def rows(draw) -> Row:
    turns = [SYSTEM | {"content": draw(texts)}] if draw(st.booleans()) else []
    for _n in range(draw(st.integers(1, 3))):
        turns += [A | {"content": draw(texts)}, B | {"content": draw(texts)}]
    rejected = draw(st.none() | texts)
    try:
        messages = clean(turns, ends_with="assistant")
        worse = None if rejected is None else clean([A | {"content": rejected}], ends_with="user")[0]["content"]
    except ConversationError:  # nothing but white space
        messages, worse = [A, B], None
    if worse is not None and worse.split() == messages[-1]["content"].split():
        worse = None
    return Row(messages, worse, "correction" if worse else "demonstration", "train")


def written(each, row: Row) -> dict:
    """Return the value that a reader of the file gets."""
    if each.suffix == "csv":
        head, line = csv.reader(
            io.StringIO((tables.csv_head() + tables.csv_lines([row])).removeprefix("\ufeff"), newline="")
        )
        return tables.from_cells(dict(zip(head, line, strict=True)))
    text = canonical_json(each.write(row)) + "\n"
    assert text.count("\n") == 1
    assert canonical_texts(each.write(row)) == text[:-1].encode()
    return json.loads(text)


@pytest.mark.parametrize("each", TEXT_FORMATS, ids=lambda each: each.key)
@settings(max_examples=40, deadline=None)
@given(row=rows())
def test_a_row_comes_back_as_the_format_carries_it(each, row) -> None:
    carried = carry(row, each)
    if carried is None:
        assert (len(row.messages) > 2 and not each.has_turns) or (row.rejected is None and not each.has_single_answers)
        return
    value = written(each, carried)
    assert recognise(value) == each
    (back,) = each.read(value)
    assert (back.messages, back.rejected) == (carried.messages, carried.rejected)
    if each.is_lossless:
        assert (back.messages, back.rejected) == (row.messages, row.rejected)
    if each.has_labels:
        assert back == row


@pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.key)
def test_what_is_said_to_be_lost_is_what_is_lost(each) -> None:
    found = []
    shapes = []
    for system, long, pair, weight in product([False, True], repeat=4):
        messages = [*([SYSTEM] if system else []), *([A, B] if long else []), A, B]
        if weight:
            messages[-2 if not long else -3] = {**messages[-2 if not long else -3], "weight": 0}
        row = Row(messages, "No." if pair else None)
        shapes.append(Shape(1, system, long, pair, weight))
        found.append((row, carry(row, each)))
    losses = find_losses(shapes, each)
    kept = [(row, back) for row, back in found if back is not None]
    assert losses.n_written == len(kept)
    assert losses.n_left_out == len(found) - len(kept)
    assert losses.n_systems == sum(row.messages[0]["role"] != back.messages[0]["role"] for row, back in kept)
    assert losses.n_rejected == sum(row.rejected != back.rejected for row, back in kept)
    assert losses.n_weights == sum(
        any("weight" in turn for turn in row.messages) and not any("weight" in turn for turn in back.messages)
        for row, back in kept
    )


@pytest.mark.parametrize(
    ("key", "value", "messages", "rejected"),
    [
        (
            "alpaca",
            {"instruction": "Add", "input": "1, 2", "output": "3"},
            [A | {"content": "Add\n\n1, 2"}, B | {"content": "3"}],
            None,
        ),
        (
            "alpaca",
            {"instruction": "Why?", "output": "Because.", "system": "Be brief.", "history": [["Why?", "Because."]]},
            [SYSTEM, A, B, A, B],
            None,
        ),
        ("alpaca", {"instruction": "Why?", "chosen": "Because.", "rejected": "No."}, [A, B], "No."),
        (
            "sharegpt",
            {
                "conversations": [{"from": "human", "value": "Why?"}],
                "chosen": {"from": "gpt", "value": "Because."},
                "rejected": {"from": "gpt", "value": "No."},
            },
            [A, B],
            "No.",
        ),
        ("trl-preference", {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}, [A, B], "No."),
        ("trl-preference", {"chosen": [A, B], "rejected": [A, B | {"content": "No."}]}, [A, B], "No."),
        ("csv", {"prompt": "Why?", "response": "Because.", "system": "Be brief."}, [SYSTEM, A, B], None),
        (
            "openai-chat",
            {
                "messages": [
                    {"role": "developer", "content": "Be brief."},
                    A,
                    {"role": "assistant", "content": [{"type": "text", "text": "Because."}]},
                ]
            },
            [SYSTEM, A, B],
            None,
        ),
    ],
)
def test_what_others_write_is_read(key, value, messages, rejected) -> None:
    each = recognise(value)
    assert each == find_format(key)
    assert each.read(value) == [Row(messages, rejected)]


def test_a_tree_gives_a_row_for_each_place_where_it_ends() -> None:
    def node(role: str, text: str, *replies: dict, **more: int) -> dict:
        return {"role": role, "text": text, "replies": list(replies), **more}

    again = node("prompter", "And?", node("assistant", "Left."), node("assistant", "Right."))
    tree = node(
        "prompter",
        "Why?",
        node("assistant", "So.", again),
        node("assistant", "Bad.", rank=2),
        node("assistant", "Because.", rank=0),
    )
    more = [A, {"role": "assistant", "content": "So."}, {"role": "user", "content": "And?"}]
    oasst = find_format("oasst")
    assert oasst.read({"prompt": tree}) == [
        Row([A, B], "Bad."),
        Row([*more, {"role": "assistant", "content": "Left."}]),
        Row([*more, {"role": "assistant", "content": "Right."}]),
    ]


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("openai-chat", {"messages": 3}, "messages"),
        ("openai-chat", {"messages": [A, {"role": "tool", "content": "x"}]}, "messages[1].role"),
        ("openai-chat", {"messages": [A, {"role": "assistant", "content": 3}]}, "messages[1].content"),
        ("openai-chat", {"messages": [A, {"role": "assistant", "content": " "}]}, "messages[1].content"),
        ("openai-chat", {"messages": [A, B | {"weight": 0}, A, B]}, "messages[1].weight"),
        ("openai-chat", {"messages": [A, A]}, "messages"),
        ("openai-chat", {"messages": [A]}, "messages"),
        ("openai-preference", {"input": {"messages": [A]}, "preferred_output": [B]}, "non_preferred_output"),
        (
            "openai-preference",
            {"input": {"messages": [A]}, "preferred_output": [B], "non_preferred_output": [B]},
            "non_preferred_output",
        ),
        ("completion", {"prompt": "", "completion": "x"}, "prompt"),
        ("alpaca", {"instruction": "x", "output": None}, "output"),
        ("alpaca", {"instruction": "x", "output": "y", "history": [["z"]]}, "history[0]"),
        ("sharegpt", {"conversations": [{"from": "cat", "value": "x"}]}, "conversations[0].from"),
        ("sharegpt", {"conversations": [{"from": "human", "value": 3}]}, "conversations[0].value"),
        ("trl-sft", {"prompt": [A], "completion": [A]}, "completion"),
        ("oasst", {"prompt": {"text": "x", "role": "prompter", "replies": []}}, "prompt"),
        ("oasst", {"prompt": {"text": "x", "role": "cat", "replies": []}}, "prompt.role"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(key, value, field) -> None:
    with pytest.raises(BadValue) as caught:
        find_format(key).read(value)
    assert caught.value.field == field


@given(st.lists(st.lists(texts | st.none() | st.integers(), min_size=2, max_size=4), max_size=5))
def test_csv_is_written_as_the_csv_module_writes_it(rows) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    assert csv_text(rows) == file.getvalue()
