import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labeling.actions.case import correct_case, dismiss_case, report_output
from labeling.actions.importing import import_rows
from labeling.models import Case, Correction, Example, PreferencePair, Probe, RegressionTest, Report
from labeling.states import CaseState, Source
from tests.factories import CaseFactory

GOOD = {"prompt": "Capital of Australia?", "bad_response": "Sydney.", "ideal_response": "Canberra."}


@pytest.fixture
def run(project, tmp_path, capsys):
    """Import rows (dicts or raw bytes); return stdout and stderr."""

    def call(*rows: dict | bytes, **options: object) -> tuple[str, str]:
        file = Path(tmp_path, "rows.jsonl")
        file.write_bytes(b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows))
        call_command("import_corrections", str(file), project=project.slug, **options)
        return tuple(capsys.readouterr())

    return call


def everything() -> list[list[tuple]]:
    models = (Case, Report, Correction, Example, PreferencePair, RegressionTest, Probe)
    return [list(model.objects.order_by("pk").values_list()) for model in models]


def test_a_row_becomes_a_corrected_case(run) -> None:
    paraphrase = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "The capital?"}]
    row = GOOD | {
        "probes": ["Which city is Australia's capital?", paraphrase],
        "checks": [{"kind": "contains", "value": "canberra"}],
        "topic": "a field of the file's own",
    }
    assert run(row) == ("1 added, 0 already there, 0 bad.\n", "")
    case = Case.objects.get()
    assert (case.state, case.source, case.n_reports) == (CaseState.CORRECTED, Source.IMPORT, 1)
    correction = case.corrections.get()
    assert (correction.text, correction.author) == ("Canberra.", None)
    assert [probe.messages for probe in case.test.probes.order_by("pk")] == [
        [{"role": "user", "content": "Which city is Australia's capital?"}],
        paraphrase,
    ]
    assert case.test.checks == [{"kind": "contains", "value": "canberra"}]


def test_messages_stand_in_place_of_a_prompt(run) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital?"}]
    run({"messages": messages, "bad_response": "Sydney.", "ideal_response": "Canberra."})
    assert Case.objects.get().messages == messages


def test_bad_rows_are_listed_by_line_and_the_good_ones_go_in(run, project) -> None:
    rows: list[dict | bytes] = [
        b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r",
        b"",
        b"{not json",
        b"[1]",
        b'{"prompt": "\xff"}',
        b'{"prompt": "\\ud800", "bad_response": "a", "ideal_response": "b"}',
        {"prompt": "", "bad_response": "a", "ideal_response": "b"},
        {"prompt": "A?", "messages": [], "bad_response": "a", "ideal_response": "b"},
        {"messages": [{"role": "assistant", "content": "Hm."}], "bad_response": "a", "ideal_response": "b"},
        {"prompt": "A?", "ideal_response": "b"},
        {"prompt": "A?", "bad_response": "b", "ideal_response": 3},
        {"prompt": "A?", "bad_response": "Sydney ", "ideal_response": " Sydney"},
        {"prompt": "A?", "bad_response": "a", "ideal_response": "b", "probes": "A?"},
        {"prompt": "A?", "bad_response": "a", "ideal_response": "b", "probes": ["A?"]},
        {"prompt": "A?", "bad_response": "a", "ideal_response": "b", "probes": [7]},
        {"prompt": "A?", "bad_response": "a", "ideal_response": "b", "checks": [{"kind": "contains", "value": "z"}]},
        {"prompt": "And?", "bad_response": "a", "ideal_response": "b"},
    ]
    out, err = run(*rows)
    assert out == "2 added, 0 already there, 14 bad.\n"
    assert [line.split(":")[0] for line in err.splitlines()] == [f"line {number}" for number in range(3, 17)]
    assert "line 10: bad_response is missing, empty or not a text" in err
    assert "line 12: bad_response and ideal_response are the same" in err
    assert Case.objects.filter(project=project).count() == RegressionTest.objects.count() == 2


def test_the_limit_counts_rows(run) -> None:
    rows = [GOOD | {"prompt": f"Question {number}?"} for number in range(3)]
    assert run(b"", *rows, limit=2)[0] == "2 added, 0 already there, 0 bad.\n"


def test_another_correction_of_the_same_output_is_not_overwritten(run) -> None:
    run(GOOD)
    case = Case.objects.get()
    with pytest.raises(CommandError, match="Nothing could be imported"):
        run(GOOD | {"ideal_response": "Perth."})
    assert case.corrections.get().text == "Canberra."


def test_a_reported_case_is_joined_and_a_dismissed_one_left(run, project, rita, bob) -> None:
    prompt = [{"role": "user", "content": "Capital of Australia?"}]
    said = {"project": project, "messages": prompt, "wrong_output": "Sydney.", "model_name": "m0", "reason": "wrong"}
    case = report_output(**said, reporter=bob, source=Source.CHAT)
    dismiss_case(case=case, by=rita)
    live = report_output(**said, reporter=rita, source=Source.CHAT)
    assert run(GOOD)[0] == "1 added, 0 already there, 0 bad.\n"
    live.refresh_from_db()
    assert (live.state, live.n_reports, live.source) == (CaseState.CORRECTED, 2, Source.CHAT)
    assert run(GOOD)[0] == "0 added, 1 already there, 0 bad.\n"


def test_a_case_that_somebody_holds_waits_for_them(run, project, rita) -> None:
    case = CaseFactory(project=project)
    correct_case(case=case, text="The cover says.", by=rita)
    row = {"messages": case.messages, "bad_response": case.wrong_output, "ideal_response": "The cover says."}
    assert run(row)[0] == "0 added, 1 already there, 0 bad.\n"


@pytest.mark.parametrize("content", [b"", b"{}", b"\n\n"])
def test_a_file_of_which_nothing_goes_in_is_an_error(run, content) -> None:
    with pytest.raises(CommandError):
        run(content)
    assert not Case.objects.exists()


def test_a_missing_file_or_project_is_named(project, tmp_path) -> None:
    with pytest.raises(CommandError, match="There is no project 'nowhere'"):
        call_command("import_corrections", str(tmp_path / "x.jsonl"), project="nowhere")
    with pytest.raises(CommandError, match=r"x\.jsonl cannot be read: No such file"):
        call_command("import_corrections", str(tmp_path / "x.jsonl"), project="kitchen")
    with pytest.raises(CommandError, match="--limit"):
        call_command("import_corrections", str(tmp_path / "x.jsonl"), project="kitchen", limit=0)


WORDS = st.sampled_from(["a", "b", "a ", "c", "é", "e\u0301", "中", ""])
ROWS = st.lists(
    st.fixed_dictionaries(
        {"prompt": WORDS, "bad_response": WORDS, "ideal_response": WORDS},
        optional={"probes": st.lists(WORDS, max_size=2)},
    ),
    max_size=6,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(rows=ROWS)
def test_importing_twice_is_importing_once(rows, project) -> None:
    Probe.objects.all().delete()
    for model in (RegressionTest, PreferencePair, Example, Correction, Report, Case):
        model.objects.all().delete()
    lines = [json.dumps(row).encode() for row in rows]
    first = import_rows(project=project, lines=lines)
    once = everything()
    second = import_rows(project=project, lines=lines)
    assert everything() == once
    assert second.n_added == 0
    # a row that was bad for its probes alone is there by now when another row brought the same correction
    bad_first, bad_second = ({number for number, _ in result.bad} for result in (first, second))
    assert bad_second <= bad_first
    assert second.n_there == first.n_added + first.n_there + len(bad_first - bad_second)
