"""What is accepted of an uploaded line, and what is said of one that is not."""

import json
from pathlib import Path

import pytest

from tests.training.api import chat_rows, completion_rows, preference_rows
from training.actions.errors import BadLine, EmptyFile
from training.actions.file_rows import inspect_file, read_rows
from training.states import FileFormat, FilePurpose, Split

USER = {"role": "user", "content": "Why?"}
ANSWER = {"role": "assistant", "content": "Because."}


@pytest.fixture
def write(tmp_path: Path):
    def write(*lines: object) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_bytes(
            b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
        )
        return path

    return write


@pytest.mark.parametrize(
    ("rows", "file_format"),
    [
        (chat_rows(3), FileFormat.CHAT),
        (completion_rows(3), FileFormat.COMPLETION),
        (preference_rows(3), FileFormat.PREFERENCE),
    ],
)
def test_the_first_row_tells_the_format(write, rows, file_format) -> None:
    assert inspect_file(write(*rows), purpose=FilePurpose.FINE_TUNE) == (file_format, 3)


def test_a_byte_order_mark_crlf_and_blank_lines_are_borne(write) -> None:
    line = json.dumps({"messages": [USER, ANSWER]}).encode()
    path = write(b"\xef\xbb\xbf" + line + b"\r\n", b"\r\n", b"\n", line)
    assert inspect_file(path, purpose=FilePurpose.FINE_TUNE) == (FileFormat.CHAT, 2)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ({"foo": 1}, ""),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [USER]}, "messages"),
        ({"messages": [USER, {**ANSWER, "weight": 0}]}, "messages"),
        ({"messages": [USER, {**ANSWER, "weight": 0.5}]}, "messages[1].weight"),
        ({"messages": [USER, {**ANSWER, "weight": True}]}, "messages[1].weight"),
        ({"messages": [{**USER, "weight": 1}, ANSWER]}, "messages[0].weight"),
        ({"messages": [{"role": "tool", "content": "x"}, ANSWER]}, "messages[0].role"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "messages[1].content"),
        ({"messages": [USER, {**ANSWER, "tool_calls": [{}]}]}, "messages[1].tool_calls"),
        ({"messages": [USER, ANSWER], "tools": [{}]}, "tools"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ANSWER]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": "\ud800"}, ANSWER]}, "messages[0].content"),
        ({"prompt": 3, "completion": "x"}, "prompt"),
        ({"prompt": "x"}, "completion"),
        ({"input": [], "preferred_output": [ANSWER], "non_preferred_output": [ANSWER]}, "input"),
        ({"input": {"messages": [USER]}, "preferred_output": [ANSWER]}, "non_preferred_output"),
        ({"input": {"messages": [USER]}, "preferred_output": [ANSWER, ANSWER]}, "preferred_output"),
    ],
)
def test_the_line_and_the_field_at_fault_are_named(write, line, name) -> None:
    with pytest.raises(BadLine) as caught:
        inspect_file(write(b"\n", line), purpose=FilePurpose.FINE_TUNE)
    assert (caught.value.number, caught.value.name) == (2, name)
    assert "Line 2" in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "line", [b"this is not json", b"[1]", b"\xff\xfe", b"1" * 5000, b"[" * 100_000, b"\x1f\x8b\x08"]
)
def test_what_is_no_dictionary_is_named_in_the_known_words(write, line: bytes) -> None:
    with pytest.raises(BadLine, match=r"Line 2( is not a dictionary|: not valid UTF-8)"):
        inspect_file(write(*chat_rows(1), line), purpose=FilePurpose.BATCH)


def test_a_file_of_blank_lines_is_empty(write) -> None:
    with pytest.raises(EmptyFile):
        inspect_file(write(b"\n\n"), purpose=FilePurpose.FINE_TUNE)


def test_a_row_keeps_what_is_learnt_and_what_leads_to_it(write) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        USER,
        {**ANSWER, "weight": 0},
        {"role": "user", "content": [{"type": "text", "text": "Say it "}, {"type": "text", "text": "again.\x00"}]},
        {**ANSWER, "weight": 1},
        {"role": "user", "content": "Thanks"},
    ]
    (row,) = read_rows(write({"messages": messages}), FileFormat.CHAT, split=Split.VALID)
    assert row.messages == [
        {"role": "system", "content": "Be brief."},
        USER,
        {**ANSWER, "weight": 0},
        {"role": "user", "content": "Say it again."},
        ANSWER,
    ]
    assert (row.kind, row.rejected, row.split) == ("demonstration", None, Split.VALID)


def test_prepared_completions_keep_their_spaces(write) -> None:
    (row,) = read_rows(write({"prompt": "", "completion": " ham\n"}), FileFormat.COMPLETION, split=Split.TRAIN)
    assert [turn["content"] for turn in row.messages] == ["", " ham\n"]


def test_a_preference_is_a_correction_with_its_wrong_output(write) -> None:
    line = {
        "input": {"messages": [USER]},
        "preferred_completion": [ANSWER],
        "non_preferred_completion": [{**ANSWER, "content": "No."}],
    }
    (row,) = read_rows(write(line), FileFormat.PREFERENCE, split=Split.TRAIN)
    assert (row.kind, row.messages, row.rejected) == ("correction", [USER, ANSWER], "No.")
