import pytest

from common.models import Transition
from labeling.actions.errors import AlreadyJudged, CommentNeeded, HeldByOther, NotAllowed, OwnWork, UndoTooLate
from labeling.actions.review import review_submission
from labeling.actions.second_review import is_drawn, judge_again, settle_disagreement, take_second_review
from labeling.actions.undo import undo_review
from labeling.models import Example, SecondReview, Submission
from labeling.states import Settlement, SubmissionState, Verdict
from tests.factories import MembershipFactory, SecondReviewFactory, SubmissionFactory


@pytest.fixture
def submission(project, bob):
    project.second_review_share = 100
    project.save()
    return SubmissionFactory(project=project, author=bob)


@pytest.fixture
def second(submission, rita):
    """Rita accepted what Bob wrote."""
    review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
    return SecondReview.objects.get()


class TestDraw:
    def test_the_share_is_kept_and_stable(self) -> None:
        tenth = {pk for pk in range(5000) if is_drawn(pk, 10)}
        assert 400 < len(tenth) < 600
        assert tenth == {pk for pk in range(5000) if is_drawn(pk, 10)}
        assert tenth < {pk for pk in range(5000) if is_drawn(pk, 30)}
        assert not any(is_drawn(pk, 0) for pk in range(5000))
        assert all(is_drawn(pk, 100) for pk in range(5000))

    @pytest.mark.parametrize("verdict", Verdict)
    def test_any_decision_draws(self, submission, rita, verdict) -> None:
        review_submission(submission=submission, verdict=verdict, by=rita, comment="So.", messages=submission.messages)
        assert SecondReview.objects.get().submission == submission

    def test_nothing_is_drawn_where_it_is_off(self, project, rita) -> None:
        review_submission(submission=SubmissionFactory(project=project), verdict=Verdict.ACCEPT, by=rita)
        assert not SecondReview.objects.exists()


class TestTake:
    def test_neither_the_author_nor_the_first_reviewer(self, project, second, bob, rita, alice) -> None:
        assert take_second_review(project=project, reviewer=bob) is None
        assert take_second_review(project=project, reviewer=rita) is None
        assert take_second_review(project=project, reviewer=alice) == second

    def test_two_reviewers_never_hold_the_same(self, project, alice, rita) -> None:
        seconds = [SecondReviewFactory(review__submission__project=project) for _each in range(2)]
        assert take_second_review(project=project, reviewer=alice) == seconds[0]
        assert take_second_review(project=project, reviewer=rita) == seconds[1]
        with pytest.raises(HeldByOther):
            judge_again(second=seconds[0], is_accepted=True, reason="", by=rita)

    def test_a_skipped_one_comes_last(self, project, alice) -> None:
        seconds = [SecondReviewFactory(review__submission__project=project) for _each in range(2)]
        assert take_second_review(project=project, reviewer=alice, after=seconds[0].pk) == seconds[1]


class TestJudge:
    def test_leaves_the_first_verdict_standing(self, second, alice, project) -> None:
        judge_again(second=second, is_accepted=False, reason="It is wrong.", by=alice)
        second.refresh_from_db()
        assert (second.reviewer, second.is_accepted, second.reason) == (alice, False, "It is wrong.")
        assert second.submission.state == SubmissionState.ACCEPTED
        assert Example.objects.trainable().exists()
        assert take_second_review(project=project, reviewer=alice) is None

    def test_refusals(self, second, bob, rita, alice) -> None:
        with pytest.raises(OwnWork):
            judge_again(second=second, is_accepted=True, reason="", by=bob)
        with pytest.raises(NotAllowed):
            judge_again(second=second, is_accepted=True, reason="", by=rita)
        with pytest.raises(CommentNeeded):
            judge_again(second=second, is_accepted=False, reason=" ", by=alice)
        judge_again(second=second, is_accepted=True, reason="", by=alice)
        judge_again(second=second, is_accepted=True, reason="", by=alice)
        with pytest.raises(AlreadyJudged):
            judge_again(second=second, is_accepted=False, reason="No.", by=alice)


class TestUndo:
    """The first reviewer takes the verdict back."""

    def test_before_the_second_review_it_leaves_the_list(self, second, submission, rita) -> None:
        undo_review(submission=submission, by=rita)
        assert not SecondReview.objects.exists()
        review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
        assert SecondReview.objects.exists()

    def test_after_it_the_verdict_stands(self, second, submission, rita, alice) -> None:
        judge_again(second=second, is_accepted=False, reason="It is wrong.", by=alice)
        with pytest.raises(UndoTooLate):
            undo_review(submission=submission, by=rita)
        second.refresh_from_db()
        assert (second.is_accepted, second.first.verdict) == (False, Verdict.ACCEPT)


class TestSettle:
    @pytest.fixture
    def dispute(self, second, alice):
        return judge_again(second=second, is_accepted=False, reason="It is wrong.", by=alice)

    def test_only_differing_verdicts_are_disagreements(self, project, alice, member_of) -> None:
        admin = member_of(alice, project)
        for verdict in Verdict:
            for is_accepted in (True, False):
                second = SecondReviewFactory(review__submission__project=project, review__verdict=verdict)
                judge_again(second=second, is_accepted=is_accepted, reason="So.", by=alice)
        SecondReviewFactory(review__submission__project=project)
        listed = {(row.first.verdict, row.is_accepted) for row in SecondReview.objects.all().disagreeing(admin)}
        assert listed == {("accept", False), ("edit", False), ("send_back", True), ("reject", True)}
        assert not SecondReview.objects.all().disagreeing(MembershipFactory())

    def test_keeping_changes_nothing_else(self, dispute, alice, member_of, project) -> None:
        admin = member_of(alice, project)
        settle_disagreement(second=dispute, settlement=Settlement.KEPT, membership=admin, reason="")
        assert Example.objects.trainable().count() == 1
        with pytest.raises(AlreadyJudged):
            settle_disagreement(second=dispute, settlement=Settlement.REOPENED, membership=admin, reason="x")

    def test_reopening_retracts_and_goes_to_review_once_more(self, dispute, alice, rita, member_of, project) -> None:
        admin = member_of(alice, project)
        with pytest.raises(CommentNeeded):
            settle_disagreement(second=dispute, settlement=Settlement.REOPENED, membership=admin, reason="")
        settle_disagreement(second=dispute, settlement=Settlement.REOPENED, membership=admin, reason="Look again.")
        assert not Example.objects.trainable().exists()
        former = dispute.submission
        former.refresh_from_db()
        again = Submission.objects.get(state=SubmissionState.SUBMITTED)
        assert former.state == SubmissionState.REVISED
        assert (again.previous, again.author, again.messages) == (former, former.author, former.messages)
        assert Transition.objects.of(former).filter(what="disagreement", after="reopened").exists()
        review_submission(submission=again, verdict=Verdict.ACCEPT, by=rita)
        assert Example.objects.trainable().get().submission == again

    def test_what_the_author_revised_meanwhile_is_not_reopened(self, dispute, alice, member_of, project) -> None:
        Submission.objects.filter(pk=dispute.submission_id).update(state=SubmissionState.WITHDRAWN)
        with pytest.raises(NotAllowed):
            settle_disagreement(
                second=dispute, settlement=Settlement.REOPENED, membership=member_of(alice, project), reason="x"
            )
        dispute.refresh_from_db()
        assert dispute.settlement == ""
