import pytest

from common.conversations import digest
from common.models import Transition
from labeling.actions.case import correct_case, dismiss_case
from labeling.actions.comparison import create_comparison, first_side, vote
from labeling.actions.errors import CommentNeeded, NotAllowed
from labeling.actions.example import create_example
from labeling.actions.retraction import retract_example, retract_person, undo_retraction
from labeling.models import Correction, Example, PreferencePair, RegressionTest, Review
from labeling.queries.retraction import work_of
from labeling.states import ComparisonSource, SubmissionState, Verdict, VoteChoice
from tests.factories import CaseFactory, ExampleFactory, SubmissionFactory

QUESTION = [{"role": "user", "content": "How far is the next star?"}]


def correct(case, by, text="Its author is on the cover.", **more):
    return correct_case(case=case, text=text, by=by, **more)


def judged(project, people, sides, answers=("Far.", "Four light years."), **more):
    """A comparison on which each of the people said that the answer of their side is better."""
    row = create_comparison(
        project=project,
        messages=QUESTION,
        answers=answers,
        source=ComparisonSource.IMPORT,
        n_people=len(people),
        **more,
    )
    for user, side in zip(people, sides, strict=True):
        membership = project.memberships.get(user=user)
        place = "first" if first_side(row, user) == side else "second"
        vote(comparison=row, membership=membership, choice=VoteChoice(f"{place}_clearly"))
    return PreferencePair.objects.get(comparison=row)


def in_use(model):
    return set(model.objects.filter(retracted_at=None))


def test_all_that_a_person_wrote_corrected_or_edited_goes(project, bob, rita, alice) -> None:
    own = ExampleFactory(project=project, submission__author=bob)
    edited = ExampleFactory(project=project)
    Review.objects.create(submission=edited.submission, reviewer=bob, verdict=Verdict.EDIT, messages=edited.messages)
    read = ExampleFactory(project=project)
    Review.objects.create(submission=read.submission, reviewer=bob, verdict=Verdict.ACCEPT)
    corrected = correct(CaseFactory(project=project), bob, probes=["Who wrote the book?"]).example
    kept = correct(CaseFactory(project=project), rita).example
    elsewhere = ExampleFactory(submission__author=bob)
    assert set(work_of(project, bob)) == {own, edited, corrected}

    done = retract_person(project=project, person=bob, by=alice, reason=" Asked for it. ")
    assert in_use(Example) == {read, kept, elsewhere}
    assert [pair.correction for pair in in_use(PreferencePair)] == [kept.correction]
    assert [test.correction for test in RegressionTest.objects.filter(is_active=True)] == [kept.correction]
    assert (done.person, done.by, done.reason, done.examples.count()) == (bob, alice, "Asked for it.", 3)
    assert (done.pairs.count(), done.tests.count()) == (1, 1)
    assert Transition.objects.of(done).get().after == "3 examples and 1 pairs of Bob"
    assert Transition.objects.of(own).last().after == "retracted"


def test_the_words_go_where_somebody_elses_example_says_the_same(project, bob, rita, alice) -> None:
    first = CaseFactory(project=project, wrong_output="Me.")
    second = CaseFactory(project=project, wrong_output="You.", messages=first.messages)
    assert second.prompt_hash == digest(first.messages)
    example = correct(first, rita).example
    correct(second, bob)
    assert Correction.objects.filter(author=bob, example=None).exists()
    assert set(work_of(project, bob)) == {example}


def test_pairs_go_that_rest_on_the_persons_vote_or_answer(project, bob, rita, alice) -> None:
    alone = judged(project, [bob], "a")
    needed = judged(project, [bob, rita, alice], "aab", answers=("Far.", "Very far."))
    unneeded = judged(project, [bob, rita, alice], "aaa", answers=("Far.", "Not far."))
    theirs = SubmissionFactory(project=project, author=bob, state=SubmissionState.ACCEPTED)
    answered = judged(project, [rita], "b", answers=("Far.", "Near."), submissions=(None, theirs))
    other = judged(project, [rita], "b", answers=("Far.", "It depends."))
    done = retract_person(project=project, person=bob, by=alice, reason="Asked")
    assert set(done.pairs.all()) == {alone, needed, answered}
    assert in_use(PreferencePair) == {unneeded, other}
    with pytest.raises(NotAllowed):
        retract_person(project=project, person=bob, by=alice, reason="Again")


def test_a_retraction_needs_a_reason(project, bob, alice) -> None:
    example = ExampleFactory(project=project, submission__author=bob)
    with pytest.raises(CommentNeeded):
        retract_person(project=project, person=bob, by=alice, reason=" ")
    assert in_use(Example) == {example}


def test_undoing_brings_everything_back_once(project, bob, alice) -> None:
    example = ExampleFactory(project=project, submission__author=bob)
    corrected = correct(CaseFactory(project=project), bob).example
    pair = judged(project, [bob], "a")
    done = retract_person(project=project, person=bob, by=alice, reason="Asked")
    assert undo_retraction(retraction=done, by=alice) == 2
    assert in_use(Example) == {example, corrected}
    assert in_use(PreferencePair) == {pair, corrected.correction.preference_pair}
    assert RegressionTest.objects.get().is_active
    assert done.undone_by == alice
    with pytest.raises(NotAllowed):
        undo_retraction(retraction=done, by=alice)
    assert not Example.objects.retracted().exists()


def test_what_was_replaced_meanwhile_stays_out(project, bob, rita, alice) -> None:
    text = ExampleFactory(project=project, submission__author=bob)
    corrected = correct(CaseFactory(project=project), bob)
    dismissed = correct(CaseFactory(project=project), bob, text="Somebody else.")
    done = retract_person(project=project, person=bob, by=alice, reason="Asked")
    again = create_example(
        project=project,
        messages=text.messages,
        origin=SubmissionFactory(project=project),
        author=rita,
        accepted_by=alice,
        instruction_version=None,
    )
    type(corrected.case).objects.update(state="open")
    corrected.case.refresh_from_db()
    dismissed.case.refresh_from_db()
    better = correct(corrected.case, rita, text="It is on the spine.")
    dismiss_case(case=dismissed.case, by=alice)
    assert undo_retraction(retraction=done, by=alice) == 1
    assert in_use(Example) == {again, better.example, dismissed.example}
    assert in_use(PreferencePair) == {better.preference_pair}
    assert [test.case for test in RegressionTest.objects.filter(is_active=True)] == [corrected.case]


def test_a_replaced_example_does_not_count_as_retracted(project, rita, alice) -> None:
    case = CaseFactory(project=project)
    first = correct(case, rita)
    type(case).objects.update(state="open")
    case.refresh_from_db()
    second = correct(case, rita, text="It is on the spine.")
    assert not Example.objects.retracted().exists()
    retract_example(example=second.example, by=alice, reason="Wrong")
    assert list(Example.objects.retracted()) == [second.example]
    assert first.example not in Example.objects.trainable()
