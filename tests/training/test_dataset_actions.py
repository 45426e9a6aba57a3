import hashlib
import json
import random
import threading
from dataclasses import replace

import pytest
from django.db import connections
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from common.conversations import digest
from labeling.findings.fingerprints import estimate_overlap
from labeling.models import Example, Probe, RegressionTest
from labeling.states import ExampleKind
from tests.training.conftest import make_correction, make_demonstration
from training.actions.composition import Composition
from training.actions.dataset import FrozenRow, freeze_dataset
from training.actions.errors import LeakedProbe, NothingToFreeze
from training.actions.splits import NEARLY_THE_SAME, assign, opening, sketch
from training.models import DatasetRow, DatasetVersion
from training.queries import export_chunks, gone_rows, new_rows, sources, unfrozen_examples
from training.states import Split


def row(question: str, answer: str = "Yes.", kind: str = ExampleKind.DEMONSTRATION) -> FrozenRow:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return FrozenRow(example_pk=1, kind=kind, messages=messages, rejected=None)


def splits(rows: list[FrozenRow], **shares: float) -> list[tuple[str, Split | None]]:
    """The rows' hashes and splits, each text once, in the order of the hashes."""
    known = {each.row_hash: each for each in rows}
    unique = [known[row_hash] for row_hash in sorted(known)]
    found = assign([(each.kind, opening(each.messages)) for each in unique], **shares)
    return [(each.row_hash, split) for each, split in zip(unique, found, strict=True)]


SAID = st.one_of(
    st.text(min_size=1),
    st.lists(
        st.sampled_from(["when", "does", "the", "old", "ferry", "leave", "from", "here", "in", "may"]), min_size=6
    ).map(" ".join),
)
ROWS = st.lists(
    st.builds(row, SAID, st.sampled_from(["Yes.", "No."]), st.sampled_from(ExampleKind.values)),
    max_size=30,
)
DEMONSTRATIONS = st.lists(st.builds(row, SAID), max_size=60)
SHARES = st.sampled_from([{}, {"test_share": 0.3}, {"test_share": 0.4, "valid_share": 0.5}])


@given(rows=ROWS, seed=st.randoms(use_true_random=False), shares=SHARES)
def test_the_order_of_the_examples_does_not_matter(
    rows: list[FrozenRow], seed: random.Random, shares: dict[str, float]
) -> None:
    known = {each.row_hash: (each.kind, opening(each.messages)) for each in rows}
    order = list(known)
    seed.shuffle(order)
    shuffled = dict(zip(order, assign([known[row_hash] for row_hash in order], **shares), strict=True))
    assert shuffled == dict(splits(rows, **shares))


@given(rows=DEMONSTRATIONS, added=DEMONSTRATIONS, shares=SHARES)
def test_added_demonstrations_bring_no_held_out_row_into_training(
    rows: list[FrozenRow], added: list[FrozenRow], shares: dict[str, float]
) -> None:
    after = dict(splits(rows + added, **shares))
    assert all(after[row_hash] != Split.TRAIN for row_hash, split in splits(rows, **shares) if split != Split.TRAIN)


@given(rows=DEMONSTRATIONS, gone=st.sets(st.integers(0, 59)))
def test_no_row_goes_from_test_to_training_when_others_go(rows: list[FrozenRow], gone: set[int]) -> None:
    before = dict(splits(rows, test_share=0.4))
    after = splits([each for number, each in enumerate(rows) if number not in gone], test_share=0.4)
    assert all(split == Split.TEST for row_hash, split in after if before[row_hash] == Split.TEST)


def test_no_chain_of_alike_questions_leads_a_test_row_into_training() -> None:
    draw = random.Random(4)
    words = [f"w{n}" for n in range(4000)]
    for _ in range(300):
        chain = [draw.choices(words, k=60)]
        for start in (20, 40):
            chain.append([*chain[-1][:start], *draw.choices(words, k=3), *chain[-1][start + 3 :]])
        said = [opening(row(" ".join(each)).messages) for each in chain]
        found = list(zip(said, assign([("demonstration", text) for text in said], test_share=0.3), strict=True))
        tested = [sketch(text) for text, split in found if split == Split.TEST]
        trained = [sketch(text) for text, split in found if split == Split.TRAIN]
        assert all(estimate_overlap(one, other) < NEARLY_THE_SAME for one in tested for other in trained)


@given(rows=ROWS, added=ROWS, shares=SHARES)
def test_a_test_row_stays_one_and_none_opens_like_a_row_of_another_split(
    rows: list[FrozenRow], added: list[FrozenRow], shares: dict[str, float]
) -> None:
    before, after = dict(splits(rows, **shares)), dict(splits(rows + added, **shares))
    assert all(after[row_hash] == Split.TEST for row_hash, split in before.items() if split == Split.TEST)
    known = {each.row_hash: each for each in rows + added}
    assert all(split == Split.TRAIN for key, split in after.items() if known[key].kind == ExampleKind.CORRECTION)
    others = {key: split for key, split in after.items() if known[key].kind != ExampleKind.CORRECTION}
    openings = {split: {opening(known[key].messages) for key in others if others[key] == split} for split in Split}
    assert not openings[Split.TRAIN] & openings[Split.VALID]
    assert not openings[Split.TEST] & (openings[Split.TRAIN] | openings[Split.VALID])


def test_about_a_tenth_of_the_demonstrations_is_held_out() -> None:
    held_out = [split for _hash, split in splits([row(f"What is {n} and {n}?") for n in range(2000)])]
    assert 160 <= held_out.count(Split.VALID) <= 240
    assert held_out.count(Split.TEST) == 0


LONG = "When does the ferry to the island leave in the morning on Sundays in {} and what does it cost for two people"


def test_nearly_the_same_question_as_that_of_a_test_row_is_left_out() -> None:
    asked = [LONG.format(month) for month in ("may", "june", "july", "august", "march")]
    shares = {"test_share": 0.2, "valid_share": 0.0}
    alone = {text: assign([("demonstration", opening(row(text).messages))], **shares)[0] for text in asked}
    held_out = [text for text in asked if alone[text] == Split.TEST]
    assert 0 < len(held_out) < len(asked)
    assert {split for _hash, split in splits([row(text) for text in asked], **shares)} == {Split.TEST, None}
    far = row("How do I cook rice in a pan without a lid when I am outside?")
    assert dict(splits([far, *map(row, held_out)], **shares))[far.row_hash] == Split.TRAIN


def test_near_duplicates_and_later_turns_share_a_split() -> None:
    asked = row("What is  it?")
    longer = replace(asked, messages=[*asked.messages, {"role": "user", "content": "Why?"}])
    assert opening(row("what IS it").messages) == opening(asked.messages) == opening(longer.messages)
    assert opening(row("什么是光？").messages) == opening(row("什么是光").messages) != opening(row("什么是水").messages)
    assert opening(row("?!").messages) == "?!"


def test_a_version_freezes_texts_in_the_order_of_their_hashes(project, alice) -> None:
    made = make_correction(project, "What colour is the sky?")
    make_demonstration(project, "How are you?")
    version = freeze_dataset(project=project, by=alice, note="first")
    made.messages = [{"role": "user", "content": "changed"}]
    made.save()
    rows = list(version.rows.all())
    assert [r.row_hash for r in rows] == sorted(r.row_hash for r in rows)
    assert [r.position for r in rows] == [0, 1]
    assert (version.number, version.n_examples, version.created_by, version.note) == (1, 2, alice, "first")
    correction = next(r for r in rows if r.kind == ExampleKind.CORRECTION)
    assert correction.rejected == "It is red."
    assert correction.messages[0]["content"] == "What colour is the sky?"
    assert correction.example == made
    assert version.content_hash == digest([[r.row_hash, r.split] for r in rows])
    with pytest.raises(ValueError, match="never changed"):
        correction.save()


def test_the_same_content_gives_the_same_version(project) -> None:
    example = make_correction(project, "One?")
    first = freeze_dataset(project=project)
    assert freeze_dataset(project=project) == first
    make_correction(project, "Two?")
    second = freeze_dataset(project=project)
    assert second.number == 2
    Example.objects.filter(pk=example.pk).update(retracted_at=timezone.now())
    third = freeze_dataset(project=project)
    assert [r.messages[0]["content"] for r in new_rows(second, first)] == ["Two?"]
    assert [r.messages[0]["content"] for r in gone_rows(third, second)] == ["One?"]
    assert list(new_rows(third, second)) == []
    assert new_rows(first, None).count() == 1


def test_two_projects_do_not_share_versions(project, charlie) -> None:
    make_correction(project, "One?")
    other = charlie.memberships.get().project
    make_correction(other, "One?")
    assert freeze_dataset(project=project) != freeze_dataset(project=other)


def test_nothing_to_freeze(project) -> None:
    with pytest.raises(NothingToFreeze):
        freeze_dataset(project=project)
    assert not DatasetVersion.objects.exists()


def test_a_training_row_that_asks_what_a_probe_asks_blocks_the_freeze(project) -> None:
    tested = make_correction(project, "What colour is the sky?")
    make_correction(project, "Which colour has the sky?")
    test = RegressionTest.objects.create(
        project=project,
        case=tested.correction.case,
        correction=tested.correction,
        messages=tested.messages[:-1],
        chosen="It is blue.",
        rejected="It is red.",
    )
    probe = [{"role": "user", "content": "Which colour has the sky?"}]
    Probe.objects.create(test=test, messages=probe, prompt_hash=digest(probe))
    with pytest.raises(LeakedProbe, match="Which colour has the sky") as caught:
        freeze_dataset(project=project)
    assert caught.value.case_pks == [test.case_id]
    assert not DatasetVersion.objects.exists()
    RegressionTest.objects.update(is_active=False)
    assert freeze_dataset(project=project).n_train == 2


def test_the_export_is_openai_chat_lines_and_always_the_same_bytes(project, charlie) -> None:
    for n in range(25):
        make_demonstration(project, f"Wie heißt „{n}“ auf 中文?\nBitte.", answer="\u2028 ja")
    version = freeze_dataset(project=project)
    text = "".join(export_chunks(version))
    lines = [json.loads(line) for line in text.split("\n")[:-1]]
    assert [line["messages"] for line in lines] == [r.messages for r in version.rows.all()]
    assert all(set(line) == {"messages"} for line in lines)
    other = charlie.memberships.get().project
    for n in reversed(range(25)):
        make_demonstration(other, f"Wie heißt „{n}“ auf 中文?\nBitte.", answer="\u2028 ja")
    again = "".join(export_chunks(freeze_dataset(project=other)))
    assert hashlib.sha256(text.encode()).digest() == hashlib.sha256(again.encode()).digest()
    assert "".join(export_chunks(version, n_rows=2)) == text
    assert "".join(export_chunks(version, split=Split.TRAIN)).count("\n") == version.n_train


def test_sources_and_what_waits_for_the_next_version(project) -> None:
    one, _two = make_correction(project, "One?"), make_correction(project, "Two?")
    version = freeze_dataset(project=project)
    found = sources(version)
    assert [(kind["kind_name"], kind["split_name"], kind["n"]) for kind in found["kinds"]] == [
        ("correction", "train", 2)
    ]
    assert {author["name"] for author in found["authors"]} >= {one.author.name}
    assert not unfrozen_examples(project).exists()
    three = make_correction(project, "Three?")
    assert list(unfrozen_examples(project)) == [three]


@pytest.mark.django_db(transaction=True)
def test_two_freezes_at_once_give_one_version(project) -> None:
    make_correction(project, "One?")
    barrier = threading.Barrier(2)
    found: list[int] = []

    def freeze() -> None:
        try:
            barrier.wait()
            found.append(freeze_dataset(project=project).pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=freeze) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert len(set(found)) == DatasetVersion.objects.count() == DatasetRow.objects.count() == 1


def test_what_was_frozen_once_has_the_same_hash_for_ever(project) -> None:
    make_correction(project, "Question 7 about the ferry to the island in the north and the way back")
    make_correction(project, "Wann öffnet das Museum?", 'Um 10 Uhr, täglich \u2028 außer Montag. "Ja" \\ 😀')
    for n in range(60):
        make_demonstration(project, f"Question {n} about the ferry to the island in the north and the way back", f"Answer {n}.")  # fmt: skip
        make_demonstration(project, f"Frage {n} 图书馆几点开门？", f"九点 {n}。")
    for n in range(5):
        make_demonstration(
            project, f"Question {n} about the ferry to the island in the north and the way home", "Late."
        )
    version = freeze_dataset(project=project)
    assert (version.n_train, version.n_valid) == (113, 14)
    assert version.content_hash == "878a62ba7656bcb48e20b8bd617b5d9b14406c0d110f1d44c5276ee5f67689c2"
    tested = freeze_dataset(
        project=project,
        composition=Composition(kinds=("demonstration",), test_share=0.2, weights={"demonstration": 3.0}),
    )
    assert (tested.n_train, tested.n_valid, tested.n_test) == (58, 8, 27)
    assert tested.content_hash == "b238006b15721382b8c882fe6dbeaaf3f1889842590804da4b576068477c06d2"
