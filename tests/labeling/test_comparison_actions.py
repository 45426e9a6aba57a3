from threading import Barrier, Thread

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from common.conversations import digest
from common.states import StateError
from labeling.actions.comparison import (
    create_comparison,
    first_side,
    majority,
    next_comparison,
    restore_comparison,
    retire_comparison,
    skip_comparison,
    vote,
)
from labeling.actions.comparison_import import import_comparisons, pair_submissions
from labeling.actions.errors import (
    AlreadyJudged,
    BadComparison,
    BadConversation,
    CommentNeeded,
    DuplicateComparison,
    MustAcknowledge,
    NotAllowed,
    OwnWork,
)
from labeling.actions.retraction import retract_example
from labeling.models import Comparison, PreferencePair, Probe, RegressionTest, Vote
from labeling.states import ComparisonOutcome, ComparisonSource, ComparisonState, SubmissionState, VoteChoice
from tests.factories import (
    ComparisonFactory,
    CorrectionFactory,
    ExampleFactory,
    InstructionVersionFactory,
    MembershipFactory,
    SubmissionFactory,
    TaskFactory,
)

PROMPT = [{"role": "user", "content": "How far is the next star?"}]


def make(project, **more):
    given = {"messages": PROMPT, "answers": ("Far.", "Four light years."), "source": ComparisonSource.IMPORT}
    return create_comparison(project=project, **{**given, **more})


def choice_for(comparison, user, side, *, clearly=True):
    """The choice by which this person says that the answer of `side` is better."""
    place = "first" if first_side(comparison, user) == side else "second"
    return VoteChoice(f"{place}_{'clearly' if clearly else 'slightly'}")


@pytest.fixture
def people(project):
    return [MembershipFactory(project=project) for _each in range(3)]


class TestCreate:
    def test_takes_the_projects_number_of_people(self, project) -> None:
        project.n_comparison_people = 3
        assert make(project).n_people == 3
        assert make(project, answers=("Near.", "Far."), n_people=5).n_people == 5

    def test_the_same_answers_in_the_other_order_are_there_already(self, project) -> None:
        there = make(project)
        with pytest.raises(DuplicateComparison) as caught:
            make(project, answers=("Four light years.", "Far."))
        assert caught.value.existing == there

    @pytest.mark.parametrize("answers", [("Far.", " Far.\n"), ("x" * 60_000, "y" * 60_000)])
    def test_refuses_equal_and_huge_answers(self, project, answers) -> None:
        with pytest.raises(BadComparison):
            make(project, answers=answers)

    def test_refuses_an_empty_answer_and_a_prompt_without_a_question(self, project) -> None:
        with pytest.raises(BadConversation):
            make(project, answers=("Far.", " "))
        with pytest.raises(BadConversation):
            make(project, messages=[*PROMPT, {"role": "assistant", "content": "Far."}])

    def test_refuses_the_prompt_of_a_probe(self, project) -> None:
        hold_out(project)
        with pytest.raises(BadComparison, match="probe"):
            make(project)


def hold_out(project) -> None:
    correction = CorrectionFactory(case__project=project)
    test = RegressionTest.objects.create(
        project=project, case=correction.case, correction=correction, messages=[], chosen="", rejected=""
    )
    Probe.objects.create(test=test, messages=PROMPT, prompt_hash=digest(PROMPT))


class TestNext:
    def test_two_people_get_two_and_each_keeps_theirs(self, project, people) -> None:
        rows = [ComparisonFactory(project=project), ComparisonFactory(project=project)]
        assert [next_comparison(membership=each) for each in people[:2]] == rows
        assert next_comparison(membership=people[2]) is None
        assert next_comparison(membership=people[1]) == rows[1]

    def test_a_lease_that_ran_out_frees_it(self, project, people) -> None:
        row = ComparisonFactory(project=project)
        next_comparison(membership=people[0])
        Comparison.objects.update(lease_expires_at=timezone.now())
        assert next_comparison(membership=people[1]) == row

    def test_nobody_gets_one_twice_nor_one_with_their_own_text(self, project, people) -> None:
        judged, skipped = ComparisonFactory(project=project, n_people=3), ComparisonFactory(project=project)
        me = people[0]
        own = SubmissionFactory(project=project, author=me.user)
        ComparisonFactory(project=project, submission_b=own)
        vote(comparison=judged, membership=me, choice=VoteChoice.SAME)
        skip_comparison(comparison=skipped, membership=me, reason="Too hard.")
        assert next_comparison(membership=me) is None
        assert next_comparison(membership=people[1]) == judged

    def test_never_from_another_project(self, people) -> None:
        ComparisonFactory()
        assert next_comparison(membership=people[0]) is None

    def test_the_instructions_come_first(self, project, people) -> None:
        ComparisonFactory(project=project)
        InstructionVersionFactory(project=project)
        with pytest.raises(MustAcknowledge):
            next_comparison(membership=people[0])


@pytest.mark.django_db(transaction=True)
def test_people_who_ask_at_once_get_different_ones() -> None:
    people = [MembershipFactory() for _each in range(1)]
    people += [MembershipFactory(project=people[0].project) for _each in range(3)]
    for _each in people:
        ComparisonFactory(project=people[0].project)
    barrier, got = Barrier(len(people)), []

    def ask(membership) -> None:
        try:
            barrier.wait()
            got.append(next_comparison(membership=membership))
        finally:
            connection.close()

    threads = [Thread(target=ask, args=(each,)) for each in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({row.pk for row in got}) == len(people)


class TestSides:
    def test_a_persons_order_stays_and_people_differ(self, project) -> None:
        rows = [ComparisonFactory(project=project) for _each in range(40)]
        one, other = MembershipFactory(project=project).user, MembershipFactory(project=project).user
        sides = [first_side(row, one) for row in rows]
        assert sides == [first_side(row, one) for row in rows]
        assert sides != [first_side(row, other) for row in rows]
        assert set(sides) == {"a", "b"}

    @pytest.mark.parametrize(("side", "better"), [("a", "a"), ("b", "b")])
    def test_the_vote_is_for_the_answer_wherever_it_stood(self, project, people, side, better) -> None:
        for membership in people:
            row = ComparisonFactory(project=project, n_people=9)
            mine = vote(
                comparison=row, membership=membership, choice=choice_for(row, membership.user, side, clearly=False)
            )
            assert mine.outcome == better
            assert mine.first_side == first_side(row, membership.user)
            assert not mine.is_clear


A, B, SAME, BAD, SPLIT = "a", "b", "same", "both_bad", "split"


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        ([A], A),
        ([A, A, B], A),
        ([B, B, A], B),
        ([A, B], SPLIT),
        ([A, SAME], SPLIT),
        ([A, B, SAME], SPLIT),
        ([SAME, SAME, A], SAME),
        ([BAD, BAD, A], BAD),
        ([A, A, B, B], SPLIT),
        ([A, A, A, B, B], A),
    ],
)
def test_majority(votes, outcome) -> None:
    assert majority([ComparisonOutcome(each) for each in votes]) == outcome


class TestVote:
    def test_a_majority_becomes_a_pair(self, project, people) -> None:
        row = ComparisonFactory(project=project, n_people=3)
        for membership, side in zip(people, "bab", strict=True):
            assert not PreferencePair.objects.exists()
            vote(comparison=row, membership=membership, choice=choice_for(row, membership.user, side))
        row.refresh_from_db()
        assert (row.state, row.outcome, row.leased_by) == (ComparisonState.DECIDED, "b", None)
        pair = row.preference_pair
        assert (pair.chosen, pair.rejected, pair.messages) == (row.answer_b, row.answer_a, row.messages)
        assert pair.correction is None

    @pytest.mark.parametrize("choice", [VoteChoice.SAME, VoteChoice.BOTH_BAD])
    def test_no_winner_no_pair(self, project, people, choice) -> None:
        row = ComparisonFactory(project=project)
        vote(comparison=row, membership=people[0], choice=choice)
        row.refresh_from_db()
        assert (row.state, row.outcome) == (ComparisonState.DECIDED, choice)
        assert not PreferencePair.objects.exists()

    def test_a_tie_makes_no_pair(self, project, people) -> None:
        row = ComparisonFactory(project=project, n_people=2)
        for membership, side in zip(people, "ab", strict=False):
            vote(comparison=row, membership=membership, choice=choice_for(row, membership.user, side))
        row.refresh_from_db()
        assert row.outcome == "split"
        assert not PreferencePair.objects.exists()

    def test_a_prompt_that_became_a_probe_makes_no_pair(self, project, people) -> None:
        row = make(project)
        hold_out(project)
        vote(comparison=row, membership=people[0], choice=VoteChoice.FIRST_CLEARLY)
        assert not PreferencePair.objects.exists()

    def test_a_double_click_is_one_vote_and_another_vote_is_refused(self, project, people) -> None:
        row = ComparisonFactory(project=project, n_people=2)
        given = {"comparison": row, "membership": people[0], "reason": "Clear."}
        first = vote(choice=VoteChoice.SAME, **given)
        assert vote(choice=VoteChoice.SAME, **given) == first
        with pytest.raises(AlreadyJudged):
            vote(choice=VoteChoice.BOTH_BAD, **given)
        assert Vote.objects.get().choice == VoteChoice.SAME

    def test_a_vote_after_the_lease_is_kept_and_ends_no_other_lease(self, project, people) -> None:
        row = ComparisonFactory(project=project, n_people=2)
        late, other = people[:2]
        next_comparison(membership=late)
        Comparison.objects.update(lease_expires_at=timezone.now())
        next_comparison(membership=other)
        vote(comparison=row, membership=late, choice=VoteChoice.SAME)
        row.refresh_from_db()
        assert row.leased_by == other.user

    def test_a_vote_after_the_decision_changes_nothing(self, project, people) -> None:
        row = ComparisonFactory(project=project)
        for membership, side in zip(people, "abb", strict=True):
            vote(comparison=row, membership=membership, choice=choice_for(row, membership.user, side))
        row.refresh_from_db()
        assert (row.outcome, row.votes.count()) == ("a", 3)
        assert PreferencePair.objects.count() == 1

    def test_refusals(self, project, people) -> None:
        me = people[0]
        own = ComparisonFactory(project=project, submission_a=SubmissionFactory(project=project, author=me.user))
        with pytest.raises(OwnWork):
            vote(comparison=own, membership=me, choice=VoteChoice.SAME)
        gone = ComparisonFactory(project=project, state=ComparisonState.RETIRED)
        with pytest.raises(NotAllowed):
            vote(comparison=gone, membership=me, choice=VoteChoice.SAME)
        project.needs_comparison_reason = True
        project.save()
        with pytest.raises(CommentNeeded):
            vote(comparison=ComparisonFactory(project=project), membership=me, choice=VoteChoice.SAME, reason=" ")
        assert not Vote.objects.exists()


def test_three_skips_set_it_aside_and_an_admin_offers_it_again(project, people, alice, member_of) -> None:
    row = ComparisonFactory(project=project)
    with pytest.raises(CommentNeeded):
        skip_comparison(comparison=row, membership=people[0], reason=" ")
    for membership in people:
        row.refresh_from_db()
        assert row.state == ComparisonState.OPEN
        skip_comparison(comparison=row, membership=membership, reason="Cannot read it.")
        skip_comparison(comparison=row, membership=membership, reason="Cannot read it.")
    row.refresh_from_db()
    assert row.state == ComparisonState.SET_ASIDE
    restore_comparison(comparison=row, by=alice)
    assert next_comparison(membership=people[0]) is None
    assert next_comparison(membership=member_of(alice, project)) == row


class TestRetire:
    def test_takes_the_pair_along(self, project, people, alice) -> None:
        row = ComparisonFactory(project=project)
        vote(comparison=row, membership=people[0], choice=VoteChoice.FIRST_CLEARLY)
        row.refresh_from_db()
        with pytest.raises(CommentNeeded):
            retire_comparison(comparison=row, by=alice, reason="")
        retire_comparison(comparison=row, by=alice, reason="Both are wrong.")
        assert row.preference_pair.retracted_at is not None
        with pytest.raises(StateError):
            retire_comparison(comparison=row, by=alice, reason="Again.")

    def test_retracting_an_example_retracts_the_pairs_of_its_text(self, project, people, alice) -> None:
        example = ExampleFactory(project=project)
        text = example.messages[-1]["content"]
        kept = ComparisonFactory(project=project)
        gone = make(project, messages=example.messages[:-1], answers=(text, "Something else."))
        for row in (kept, gone):
            vote(comparison=row, membership=people[0], choice=VoteChoice.FIRST_CLEARLY)
        retract_example(example=example, by=alice, reason="Asked to.")
        assert PreferencePair.objects.get(comparison=gone).retracted_at is not None
        assert PreferencePair.objects.get(comparison=kept).retracted_at is None


@pytest.mark.parametrize("has_both", [True, False])
def test_a_pair_has_exactly_one_origin(project, has_both) -> None:
    correction = CorrectionFactory(case__project=project)
    origins = {"correction": correction, "comparison": ComparisonFactory(project=project)} if has_both else {}
    with pytest.raises(IntegrityError), transaction.atomic():
        PreferencePair.objects.create(project=project, messages=[], chosen="x", rejected="y", **origins)


class TestImport:
    def test_good_lines_go_in_and_bad_ones_say_why(self, project, alice) -> None:
        good = '{"prompt": "Who?", "answer_a": "I.", "answer_b": "You.", "origin_a": "model 1"}'
        lines = [good, "", "{", "[]", good, '{"prompt": "Who?"}', '{"prompt": "Who?", "answer_a": "I", "answer_b": 3}']
        lines += ['{"prompt": "Who?", "answer_a": "I", "answer_b": " I "}', '{"answer_a": "I", "answer_b": "You"}']
        lines += [
            '{"prompt": "Who?", "answer_a": "\\ud800", "answer_b": "You"}',
            '{"prompt": 5, "answer_a": "I", "answer_b": "U"}',
        ]
        result = import_comparisons(project=project, lines=lines, n_people=2, by=alice)
        assert (result.n_added, result.n_there) == (1, 1)
        assert [number for number, _reason, _line in result.bad_lines] == [3, 4, 6, 7, 8, 9, 10, 11]
        assert all(reason for _number, reason, _line in result.bad_lines)
        row = Comparison.objects.get()
        assert (row.origin_a, row.origin_b, row.n_people, row.source) == ("model 1", "", 2, ComparisonSource.IMPORT)
        assert import_comparisons(project=project, lines=[good], n_people=2, by=alice).n_there == 1


class TestPairSubmissions:
    def test_two_peoples_texts_for_one_prompt(self, project, alice, people) -> None:
        task = TaskFactory(project=project)
        said = [[*task.messages, {"role": "assistant", "content": text}] for text in ("One.", "Two.", "Three.")]
        a = SubmissionFactory(project=project, task=task, messages=said[0])
        b = SubmissionFactory(project=project, task=task, messages=said[1])
        SubmissionFactory(project=project, task=task, messages=said[2], state=SubmissionState.REJECTED)
        SubmissionFactory(project=project)
        assert pair_submissions(project=project, by=alice).n_added == 1
        row = Comparison.objects.get()
        assert (row.answer_a, row.answer_b, row.submission_a, row.submission_b) == ("One.", "Two.", a, b)
        assert row.messages == task.messages
        again = pair_submissions(project=project, by=alice)
        assert (again.n_added, again.n_there) == (0, 1)

    def test_equal_texts_and_two_by_one_person_are_left_out(self, project, alice) -> None:
        task = TaskFactory(project=project)
        SubmissionFactory(project=project, task=task)
        SubmissionFactory(project=project, task=task)
        own = SubmissionFactory(project=project)
        messages = [*own.task.messages, {"role": "assistant", "content": "Another text."}]
        SubmissionFactory(project=project, task=own.task, author=own.author, messages=messages)
        assert pair_submissions(project=project, by=alice).n_added == 0
