"""Browsing, comparing and counting the rows of versions."""

import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone

from common.models import Transition
from labeling.actions.case import correct_case
from labeling.actions.retraction import retract_example
from labeling.models import Example
from tests.factories import CaseFactory, DatasetVersionFactory, ExampleFactory
from tests.training.conftest import make_correction, make_demonstration
from training.actions.dataset import freeze_dataset
from training.actions.statistics import LAPSES_AFTER, Nearness, count_next, histogram, quantiles, telling_words
from training.models import DatasetRow, DatasetStatistics, RowFacts
from training.queries.diff import diff_versions
from training.queries.rows import Criteria, narrow, page_of

HTMX = {"HTTP_HX_REQUEST": "true"}
LONG = "It rises slowly overnight, and then it is baked in a very hot oven until the crust is brown and crisp."
STANDIN = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[2])
assert sys.argv[1] == "count" and json.loads((folder / "config.json").read_text())["base"]
rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
lengths = [sum(len(turn["content"].split()) for turn in row["messages"]) for row in rows]
(folder / "counts.jsonl").write_text("".join(f"[{n}, {n // 2}]\\n" if n > 3 else "null\\n" for n in lengths))
"""


def url(name: str, *args: int) -> str:
    return reverse(f"training-{name}", args=["kitchen", *args])


@pytest.fixture
def counter(settings, tmp_path: Path) -> None:
    """Words stand for tokens, counted by a small process."""
    path = tmp_path / "standin.py"
    path.write_text(STANDIN)
    settings.ML_COMMAND = [sys.executable, str(path)]


class TestBrowsing:
    @pytest.fixture
    def version(self, project):
        make_demonstration(project, "How long does dough rest?", LONG)
        make_demonstration(project, "面团要休息多久？", "一个小时左右，要看房间里有多暖和，还有你用的是什么面粉。")
        correction = make_correction(project, "What colour is the oven?", wrong="It has none.")
        version = freeze_dataset(project=project)
        retract_example(example=correction, by=None, reason="Wrong.")
        return version

    @pytest.mark.parametrize(
        ("criteria", "found"),
        [
            ({}, {"How", "面团", "What"}),
            ({"words": "overn brown"}, {"How"}),
            ({"words": "休息"}, {"面团"}),
            ({"words": "?!"}, set()),
            ({"kind": "correction"}, {"What"}),
            ({"is_retracted": True}, {"What"}),
            ({"person": "none"}, set()),
            ({"language": "zh"}, {"面团"}),
            ({"split": "valid", "words": "nothing"}, set()),
        ],
    )
    def test_rows_are_searched_and_filtered(self, version, criteria, found) -> None:
        RowFacts.objects.bulk_create(
            RowFacts(row=row, language="zh" if "面" in row.messages[0]["content"] else "en")
            for row in version.rows.all()
        )
        rows = narrow(version.rows.all(), Criteria(**criteria))
        assert {
            row.messages[0]["content"].split()[0][: 2 if "面" in str(row.messages[0]) else 9] for row in rows
        } == found

    def test_by_person_and_split(self, version) -> None:
        row = version.rows.get(kind="correction")
        assert [each.pk for each in narrow(version.rows.all(), Criteria(person=str(row.example.author_id)))] == [row.pk]
        assert narrow(version.rows.all(), Criteria(split="train")).count() == version.n_train

    def test_rows_of_a_file_are_searched_as_they_stand(self, project) -> None:
        version = DatasetVersionFactory(project=project)
        for position, text in enumerate(("Brot und Käse", "Tee")):
            messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": text}]
            DatasetRow.objects.create(
                version=version, position=position, split="train", kind="demonstration", row_hash="0", messages=messages
            )
        assert [row.position for row in narrow(version.rows.all(), Criteria(words="Butter"))] == []
        assert [row.position for row in narrow(version.rows.all(), Criteria(words="Käse"))] == [0]

    def test_pages_go_on_from_a_position(self, project) -> None:
        for n in range(5):
            make_demonstration(project, f"What is {n} and {n}?")
        rows = freeze_dataset(project=project).rows.all()
        first = page_of(rows, size=2)
        assert ([row.position for row in first], first.before, first.after) == ([0, 1], None, 1)
        second = page_of(rows, after=first.after, size=2)
        assert ([row.position for row in second], second.before, second.after) == ([2, 3], 2, 3)
        last = page_of(rows, after=second.after, size=2)
        assert ([row.position for row in last], last.before, last.after) == ([4], 4, None)
        back = page_of(rows, before=last.before, size=2)
        assert ([row.position for row in back], back.before, back.after) == ([2, 3], 2, 3)
        assert page_of(rows, before=2, size=2).before is None

    def test_the_page_says_how_many_fit_and_takes_no_nonsense(self, sign_in, alice, version) -> None:
        client = sign_in(alice)
        page = client.get(url("dataset-show", 1), {"q": "overnight"}, **HTMX)
        assert "1 row fits." in page.text
        assert page.text.count("<article") == 1
        nonsense = client.get(url("dataset-show", 1), {"split": "x", "person": "x", "after": "-1", "before": "³"})
        assert nonsense.text.count("<article") == 3
        assert "contains 1 retracted row" in nonsense.text

    def test_one_row_with_its_conversation_and_where_it_comes_from(
        self, sign_in, project, alice, rita, version
    ) -> None:
        client = sign_in(alice)
        row = version.rows.get(kind="correction")
        page = client.get(url("row-show", 1, row.position))
        for text in ("It is blue.", "It has none.", "smollm2-135m-instruct", row.row_hash, "Retracted"):
            assert text in page.text
        assert page.context["versions"] == [version]
        assert {page.context["before"], page.context["after"]} <= {None, row.position - 1, row.position + 1}
        assert client.get(url("row-show", 1, 99)).status_code == 404

    def test_the_note_is_changed_and_the_former_one_kept(self, sign_in, alice, version) -> None:
        client = sign_in(alice)
        assert client.post(url("dataset-note", 1), {"note": "The first."})["Location"] == url("dataset-show", 1)
        client.post(url("dataset-note", 1), {"note": "The first."})
        client.post(url("dataset-note", 1), {"note": ""})
        lines = Transition.objects.of(version).filter(what="note").values_list("before", "after", "by_name")
        assert list(lines) == [("", "The first.", "Alice"), ("The first.", "", "Alice")]
        assert client.post(url("dataset-note", 1), {"note": "x" * 501}).status_code == 422


class TestDiff:
    @pytest.fixture
    def versions(self, project, bob, rita):
        case = CaseFactory(project=project, messages=[{"role": "user", "content": "Who baked it?"}])
        correct_case(case=case, text="The baker of the village.", by=bob)
        gone = make_demonstration(project, "What goes?", "This one.")
        make_demonstration(project, "What stays?", "That one.")
        old = freeze_dataset(project=project)
        type(case).objects.update(state="open")
        case.refresh_from_db()
        correct_case(case=case, text="The baker of the town.", by=rita)
        Example.objects.filter(pk=gone.pk).update(retracted_at=timezone.now())
        ExampleFactory(project=project, author=rita)
        return old, freeze_dataset(project=project)

    def test_added_removed_and_changed_by_source_and_person(self, versions, bob, rita) -> None:
        found = diff_versions(*versions)
        assert found.counts == {"added": 1, "removed": 1, "changed": 1}
        (change,) = found.changes("changed", 0, 10)
        assert [(piece.kind, piece.text) for piece in change.turns[-1].pieces] == [
            ("same", "The baker of the "),
            ("removed", "village"),
            ("added", "town"),
            ("same", "."),
        ]
        assert not change.turns[0].is_changed
        assert found.changes("removed", 0, 10)[0].row.messages[-1]["content"] == "This one."
        by_source = {count.label: (count.added, count.removed, count.changed) for count in found.by_source}
        assert by_source == {"demonstration": (1, 1, 0), "correction": (0, 0, 1)}
        by_person = {count.label: (count.added, count.removed, count.changed) for count in found.by_person}
        assert by_person[rita] == (1, 0, 1)
        assert bob not in by_person
        back = diff_versions(*versions[::-1])
        assert (back.added, back.removed) == (found.removed, found.added)
        assert back.changed == [(new, old) for old, new in found.changed]

    def test_equal_versions_differ_in_nothing(self, versions) -> None:
        assert diff_versions(versions[1], versions[1]).counts == {"added": 0, "removed": 0, "changed": 0}

    def test_the_page_takes_any_two_and_costs_no_query_a_row(
        self, sign_in, project, alice, versions, count_queries
    ) -> None:
        client = sign_in(alice)
        page, few = count_queries(lambda: client.get(url("dataset-diff", 2)))
        assert (page.context["other"], page.context["kind"]) == (versions[0], "added")
        shown = client.get(url("dataset-diff", 2), {"with": 1, "show": "changed"}, **HTMX)
        assert "<del>village</del><ins>town</ins>" in shown.text
        assert client.get(url("dataset-diff", 1), {"with": 2}).context["found"].new == versions[0]
        for n in range(5):
            make_demonstration(project, f"What is {n} and {n}?")
        freeze_dataset(project=project)
        page, many = count_queries(lambda: client.get(url("dataset-diff", 3), {"with": 1}))
        assert len(page.context["changes"]) == 6
        assert many <= few + 1

    def test_a_single_version_has_nothing_to_compare_with(self, sign_in, project, alice) -> None:
        make_correction(project, "One?")
        freeze_dataset(project=project)
        assert "There is no other version" in sign_in(alice).get(url("dataset-diff", 1)).text


@pytest.mark.usefixtures("counter")
class TestStatistics:
    @pytest.fixture
    def version(self, project, base_model):
        for n in range(4):
            make_demonstration(project, f"How long should sourdough bread number {n} be baked in the oven?", LONG)
        make_demonstration(project, "What is sourdough?", "Bread.")
        make_demonstration(project, "What is sourdough?", "A kind of bread.")
        make_correction(project, "Why?", answer="So.", wrong="No.")
        return freeze_dataset(project=project)

    def test_a_worker_counts_each_version_once(self, version) -> None:
        row = count_next()
        assert row is not None
        assert row.state == "done"
        lengths = [sum(len(turn["content"].split()) for turn in each.messages) for each in version.rows.all()]
        data = row.data
        assert sum(data["n_tokens"].values()) == sum(n for n in lengths if n > 3)
        assert sum(data["n_learnt"].values()) == sum(n // 2 for n in lengths if n > 3)
        assert data["n_refused"] == 1
        assert data["longest"] == max(lengths)
        assert dict(map(tuple, data["languages"])) == {"en": 4, "": 3}
        assert data["n_same_prompt"] == 2
        assert sorted(map(len, data["near"]), reverse=True)[0] == 4
        assert "sourdough" in data["words"]
        assert RowFacts.objects.filter(row__version=version, language="en").count() == 4
        assert count_next() is None
        assert not list(Path(version.jobs.model().run_dir.parent.parent, "statistics").glob("*"))

    def test_what_a_dead_worker_left_is_counted_again(self, version) -> None:
        half = DatasetStatistics.objects.create(version=version, started_at=timezone.now())
        assert count_next() is None
        DatasetStatistics.objects.filter(pk=half.pk).update(started_at=timezone.now() - LAPSES_AFTER - timedelta(1))
        assert count_next() == half
        half.refresh_from_db()
        assert half.state == "done"

    def test_without_weights_everything_but_tokens_is_counted(self, version, base_model) -> None:
        (base_model.folder / "config.json").unlink()
        row = count_next()
        assert row is not None
        assert (row.state, row.base_model, row.data["lengths"], row.data["n_tokens"]) == ("done", None, [], {})
        assert row.data["n_same_prompt"] == 2

    def test_a_child_that_fails_is_said(self, version, settings) -> None:
        settings.ML_COMMAND = [sys.executable, "-c", "raise SystemExit(3)"]
        row = count_next()
        assert row is not None
        assert row.state == "failed"
        assert "exit status 3" in row.error

    def test_the_page_waits_and_then_shows(self, sign_in, alice, version) -> None:
        client = sign_in(alice)
        waiting = client.get(url("dataset-statistics", 1), **HTMX)
        assert (waiting.status_code, "Being counted" in waiting.text, "every 2s" in waiting.text) == (200, True, True)
        count_next()
        done = client.get(url("dataset-statistics", 1), **HTMX)
        assert (done.status_code, "every 2s" in done.text) == (286, False)
        assert "<svg" in done.text
        assert "English" in done.text
        assert client.get(url("dataset-show", 1), {"language": "en"}).text.count("<article") == 4
        DatasetStatistics.objects.update(state="failed", error="No space")
        assert "No space" in client.get(url("dataset-statistics", 1)).text


def test_lengths_fall_into_stretches_of_round_width() -> None:
    assert histogram([]) == []
    assert histogram([1, 2, 3]) == [[1, 1, 1], [2, 2, 1], [3, 3, 1]]
    assert histogram([1, 20, 21, 160]) == [
        [1, 10, 1],
        [11, 20, 1],
        [21, 30, 1],
        *([n, n + 9, 0] for n in range(31, 151, 10)),
        [151, 160, 1],
    ]
    assert quantiles([5, 1, 4, 2, 3]) == {"median": 3, "p95": 5, "longest": 5}
    assert quantiles([]) == {"median": None, "p95": None, "longest": None}


def test_nearness_joins_groups_through_others() -> None:
    near = Nearness()
    for row, keys in enumerate([[1], [2], [9], [1, 2], [3], [3]]):
        near.add(row, keys)
    assert near.groups() == [[0, 1, 3], [4, 5]]


def test_words_of_every_day_do_not_stand_out() -> None:
    counts = Counter({"sourdough": 40, "the": 30, "for": 15, "seldom": 1})
    assert telling_words(counts, 100)[:1] == ["sourdough"]
    assert "seldom" not in telling_words(counts, 100)
    assert "the" not in telling_words(counts, 100)
    assert telling_words(Counter(), 0) == []
