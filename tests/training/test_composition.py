from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from common.conversations import digest
from labeling.actions.comparison import create_comparison, vote
from labeling.models import Example, Grade, Probe, RegressionTest
from labeling.states import ComparisonSource, VoteChoice
from tests.factories import SubmissionFactory
from tests.training.conftest import make_correction, make_demonstration
from training.actions.composition import Composition
from training.actions.dataset import freeze_dataset
from training.actions.dataset_preview import preview_dataset
from training.actions.errors import BadComposition, LeakedProbe, LeakedTest, NothingToFreeze
from training.states import RowKind, Split

pytestmark = pytest.mark.django_db
LONG = "When does the ferry to the island leave in the morning on Sundays in {} and what does it cost for two people"


def frozen(project, **rules) -> set[str]:
    """What the user says in the rows of a version of these rules."""
    version = freeze_dataset(project=project, composition=Composition(**rules))
    return {row.messages[0]["content"] for row in version.rows.all()}


def test_each_rule_takes_what_it_says(project, alice, bob) -> None:
    make_correction(project, "A correction?")
    one, two = make_demonstration(project, "One?"), make_demonstration(project, "Two?")
    Example.objects.filter(pk=one.pk).update(author=bob, accepted_at=timezone.now() - timedelta(days=9))
    Example.objects.filter(pk=two.pk).update(author=alice)
    one.tags.add(project.tags.create(name="hours"))
    one.tags.add(project.tags.create(name="desk"))
    today = timezone.now().date().isoformat()
    assert frozen(project) == {"A correction?", "One?", "Two?"}
    assert frozen(project, kinds=("correction",)) == {"A correction?"}
    assert frozen(project, tags=("hours", "desk")) == {"One?"}
    assert frozen(project, without_tags=("hours",)) == {"A correction?", "Two?"}
    assert frozen(project, since=today) == {"A correction?", "Two?"}
    assert frozen(project, authors=(bob.pk,)) == {"One?"}
    assert "One?" not in frozen(project, without_authors=(bob.pk,))
    with pytest.raises(NothingToFreeze):
        frozen(project, instructions=(99,))
    gold = SubmissionFactory(project=project, author=bob)
    for reviewer, score in ((alice, 4), (bob, 7)):
        scores = {"helpful": 7, "truthful": 7, "harmless": 7, "follows": score}
        Grade.objects.create(submission=gold, reviewer=reviewer, **scores)
    assert frozen(project, least_score=6.6) == {"One?"}
    with pytest.raises(NothingToFreeze):
        frozen(project, least_score=6.7)
    rows = freeze_dataset(project=project).rows
    gone = rows.get(messages__0__content="Two?").row_hash
    assert frozen(project, without=(gone,)) == {"A correction?", "One?"}


def test_pairs_of_comparisons_are_frozen_on_demand_and_learnt_by_preference_alone(project, bob, member_of) -> None:
    make_correction(project, "A correction?")
    prompt = [{"role": "user", "content": "Which is better?"}]
    pair = create_comparison(project=project, messages=prompt, answers=("This one.", "That one, surely."), source=ComparisonSource.IMPORT)  # fmt: skip
    vote(comparison=pair, membership=member_of(bob, project), choice=VoteChoice.FIRST_CLEARLY, reason="It is short.")
    assert frozen(project) == {"A correction?"}
    version = freeze_dataset(project=project, composition=Composition(kinds=tuple(RowKind.values)))
    row = version.rows.get(kind=RowKind.PAIR)
    assert row.pair.comparison == pair
    assert (row.messages, row.example) == ([*prompt, {"role": "assistant", "content": row.pair.chosen}], None)
    assert {row.messages[-1]["content"], row.rejected} == {"This one.", "That one, surely."}


def test_weights_are_kept_and_change_the_content(project) -> None:
    make_correction(project, "A correction?")
    plain = freeze_dataset(project=project)
    heavy = freeze_dataset(project=project, composition=Composition(weights={"correction": 3.0}))
    assert plain.content_hash != heavy.content_hash
    assert heavy.composition == {"weights": {"correction": 3.0}}
    assert Composition.from_json(heavy.composition).weight("correction") == 3


def test_former_rows_are_kept_by_share(project) -> None:
    for n in range(30):
        make_demonstration(project, f"Question {n}?")
    first = freeze_dataset(project=project)
    make_correction(project, "New?")
    version = freeze_dataset(project=project, composition=Composition(replay_share=0.5))
    assert version.rows.filter(kind="correction").count() == 1
    assert 5 < version.rows.filter(kind="demonstration").count() < 25
    assert first.n_examples == 30


def test_a_correction_of_what_is_held_out_for_tests_blocks_the_version(project) -> None:
    rules = Composition(test_share=0.5)
    asked = [f"Question number {n} about the ferry to the island in the north?" for n in range(8)]
    for text in asked:
        make_demonstration(project, text)
    version = freeze_dataset(project=project, composition=rules)
    tested = version.rows.filter(split=Split.TEST).first()
    make_correction(project, tested.messages[0]["content"])
    with pytest.raises(LeakedTest, match="ferry") as caught:
        freeze_dataset(project=project, composition=rules)
    left_out = Composition(test_share=0.5, without=tuple(caught.value.row_hashes))
    assert freeze_dataset(project=project, composition=left_out) == version


def probe_of(example: Example, text: str) -> None:
    case = example.correction.case
    test = RegressionTest.objects.create(
        project=example.project, case=case, correction=example.correction, messages=example.messages[:-1],
        chosen="It is blue.", rejected="It is red.",
    )  # fmt: skip
    messages = [{"role": "user", "content": text}]
    Probe.objects.create(test=test, messages=messages, prompt_hash=digest(messages))


def test_a_row_that_nearly_asks_a_probe_of_another_case_is_a_leak_and_can_be_left_out(project, alice, sign_in) -> None:
    tested = make_correction(project, LONG.format("may") + "?")
    probe_of(tested, LONG.format("may") + ", please?")
    version = freeze_dataset(project=project)
    assert version.n_train == 1  # the probe is a rewording of its own case
    make_demonstration(project, LONG.format("may") + " please")
    client, address = sign_in(alice), reverse("training-dataset-create", args=[project.slug])
    with pytest.raises(LeakedProbe):
        freeze_dataset(project=project)
    page = client.post(address, {"note": "mine"})
    assert page.status_code == 409
    form = page.context["form"]
    fields = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    data = {name: value for name, value in fields.items() if value not in (None, "")}
    answer = client.post(reverse("training-dataset-compose", args=[project.slug]), {**data, "action": "freeze"})
    assert answer["Location"] == reverse("training-dataset-show", args=[project.slug, version.number])


@pytest.mark.parametrize(
    "rules",
    [
        {"kinds": ()},
        {"kinds": ("poem",)},
        {"since": "yesterday"},
        {"since": "2026-02-02", "until": "2026-01-01"},
        {"weights": {"correction": 0}},
        {"replay_share": 2},
        {"test_share": 0.9},
    ],
)
def test_a_rule_that_makes_no_sense_is_named(rules) -> None:
    with pytest.raises(BadComposition) as caught:
        Composition(**rules)
    assert caught.value.field in rules


def test_the_preview_counts_what_is_frozen(project, alice, sign_in) -> None:
    make_correction(project, "A correction?")
    for n in range(12):
        make_demonstration(project, f"Question {n}?")
    rules = Composition(test_share=0.3)
    preview, version = (
        preview_dataset(project=project, composition=rules),
        freeze_dataset(project=project, composition=rules),
    )
    assert preview.n_rows == version.n_examples == 13
    assert preview.splits == {"train": version.n_train, "valid": version.n_valid, "test": version.n_test}
    page = sign_in(alice).post(
        reverse("training-dataset-compose", args=[project.slug]),
        {"kinds": ["correction"]},
        headers={"HX-Request": "true"},
    )
    assert "1 row" in page.text
    Example.objects.filter(kind="correction").get().tags.add(project.tags.create(name="hours"))
    page = sign_in(alice).post(
        reverse("training-dataset-compose", args=[project.slug]),
        {"kinds": ["correction", "demonstration"], "without_tags": ["hours"]},
        headers={"HX-Request": "true"},
    )
    assert "12 rows" in page.text
    bad = sign_in(alice).post(reverse("training-dataset-compose", args=[project.slug]), {"test_share": 90})
    assert bad.status_code == 422
