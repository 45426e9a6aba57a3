import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from common.models import Transition
from labeling.actions.case import correct_case
from labeling.actions.errors import (
    AlreadyDecided,
    BadConversation,
    BadProbe,
    CommentNeeded,
    DuplicateExample,
    HeldByOther,
    NotAllowed,
    OwnWork,
)
from labeling.actions.retraction import retract_example
from labeling.actions.review import (
    release_submission,
    review_submission,
    take_submission,
    take_this_submission,
)
from labeling.models import Example, Review, Submission
from labeling.states import ExampleKind, SubmissionState, TaskKind, Verdict
from tests.factories import (
    CaseFactory,
    ExampleFactory,
    InstructionVersionFactory,
    SubmissionFactory,
    TaskFactory,
)


@pytest.fixture
def submission(project, bob):
    return SubmissionFactory(
        project=project, author=bob, instruction_version=InstructionVersionFactory(project=project)
    )


class TestTake:
    def test_the_oldest_waiting_one_that_is_not_ones_own(self, project, rita, bob) -> None:
        SubmissionFactory(project=project, author=rita)
        SubmissionFactory(project=project, author=bob, state=SubmissionState.ACCEPTED)
        SubmissionFactory()
        oldest = SubmissionFactory(project=project, author=bob)
        SubmissionFactory(project=project, author=bob)
        assert take_submission(project=project, reviewer=rita) == oldest
        assert take_submission(project=project, reviewer=rita) == oldest

    def test_two_reviewers_never_hold_the_same(self, project, rita, alice, submission) -> None:
        assert take_submission(project=project, reviewer=rita) == submission
        assert take_submission(project=project, reviewer=alice) is None
        assert not take_this_submission(submission=Submission.objects.get(), reviewer=alice)
        release_submission(submission=submission, by=alice)
        assert take_submission(project=project, reviewer=alice) is None
        release_submission(submission=submission, by=rita)
        assert take_submission(project=project, reviewer=alice) == submission

    def test_a_lease_that_ran_out_is_free(self, project, rita, alice, submission) -> None:
        take_submission(project=project, reviewer=rita)
        Submission.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        assert take_submission(project=project, reviewer=alice) == submission

    def test_a_skipped_one_comes_after_the_younger_ones(self, project, rita, submission) -> None:
        younger = SubmissionFactory(project=project)
        assert take_submission(project=project, reviewer=rita, after=submission.pk) == younger
        release_submission(submission=younger, by=rita)
        assert take_submission(project=project, reviewer=rita, after=younger.pk) == submission

    @pytest.mark.django_db(transaction=True)
    def test_reviewers_at_once_get_different_ones(self, project, rita, alice) -> None:
        SubmissionFactory.create_batch(2, project=project)
        start, taken, errors = threading.Barrier(2), [], []

        def run(reviewer) -> None:
            try:
                start.wait(timeout=30)
                taken.append(take_submission(project=project, reviewer=reviewer))
            except Exception as error:  # noqa: BLE001  a thread's error has to reach the test
                errors.append(error)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=run, args=[reviewer]) for reviewer in (rita, alice)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert errors == []
        assert {row.pk for row in taken if row} == set(Submission.objects.values_list("pk", flat=True))


class TestReview:
    def test_accepting_makes_the_example(self, submission, rita, bob) -> None:
        review = review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita, comment=" Nice. ")
        assert (review.verdict, review.comment, review.messages) == (Verdict.ACCEPT, "Nice.", None)
        example = Example.objects.get()
        assert (example.kind, example.submission) == (ExampleKind.DEMONSTRATION, submission)
        assert (example.author, example.accepted_by) == (bob, rita)
        assert (example.messages, example.instruction_version) == (submission.messages, submission.instruction_version)
        assert (submission.state, submission.leased_by) == (SubmissionState.ACCEPTED, None)
        assert [(row.after, row.by_name) for row in Transition.objects.of(submission)] == [("accepted", "Rita")]

    def test_an_edit_is_what_trains(self, submission, rita) -> None:
        edited = [*submission.messages[:-1], {"role": "assistant", "content": " One more.\r\n"}]
        review = review_submission(submission=submission, verdict=Verdict.EDIT, by=rita, messages=edited)
        assert review.verdict == Verdict.EDIT
        assert review.messages[-1]["content"] == Example.objects.get().messages[-1]["content"] == "One more."
        assert Submission.objects.get().messages[-1]["content"] == "One more than before."

    def test_an_edit_that_changes_nothing_is_an_accept(self, submission, rita) -> None:
        review = review_submission(
            submission=submission, verdict=Verdict.EDIT, by=rita, messages=list(submission.messages)
        )
        assert (review.verdict, review.messages) == (Verdict.ACCEPT, None)

    def test_a_given_prompt_is_not_edited(self, submission, rita) -> None:
        edited = [{"role": "user", "content": "Something else?"}, submission.messages[-1]]
        with pytest.raises(BadConversation):
            review_submission(submission=submission, verdict=Verdict.EDIT, by=rita, messages=edited)
        task = TaskFactory(project=submission.project, kind=TaskKind.WRITE, messages=[])
        Submission.objects.update(task=task)
        submission.refresh_from_db()
        review_submission(submission=submission, verdict=Verdict.EDIT, by=rita, messages=edited)
        assert Example.objects.get().messages == edited

    @pytest.mark.parametrize(
        ("verdict", "state"),
        [(Verdict.SEND_BACK, SubmissionState.RETURNED), (Verdict.REJECT, SubmissionState.REJECTED)],
    )
    def test_no_needs_a_reason(self, submission, rita, verdict, state) -> None:
        with pytest.raises(CommentNeeded):
            review_submission(submission=submission, verdict=verdict, by=rita, comment=" ")
        review_submission(submission=submission, verdict=verdict, by=rita, comment="Too long.")
        assert submission.state == state
        assert not Example.objects.exists()

    def test_nobody_reviews_their_own(self, submission, bob) -> None:
        with pytest.raises(OwnWork):
            review_submission(submission=submission, verdict=Verdict.ACCEPT, by=bob)

    def test_the_second_of_two_decisions_overwrites_nothing(self, submission, rita, alice) -> None:
        seen = Submission.objects.get()
        first = review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
        with pytest.raises(AlreadyDecided) as caught:
            review_submission(submission=seen, verdict=Verdict.REJECT, by=alice, comment="No.")
        assert caught.value.review == first
        assert Review.objects.get() == first

    def test_one_that_somebody_else_holds_is_theirs(self, project, submission, rita, alice) -> None:
        take_submission(project=project, reviewer=rita)
        with pytest.raises(HeldByOther):
            review_submission(submission=submission, verdict=Verdict.ACCEPT, by=alice)

    def test_the_same_conversation_twice_is_said(self, submission, rita) -> None:
        existing = ExampleFactory(project=submission.project, messages=submission.messages)
        with pytest.raises(DuplicateExample) as caught:
            review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
        assert caught.value.existing == existing
        submission.refresh_from_db()
        assert submission.state == SubmissionState.SUBMITTED
        assert not Review.objects.exists()

    def test_a_prompt_that_is_held_out_is_not_trained_on(self, submission, rita) -> None:
        case = CaseFactory(project=submission.project)
        correct_case(case=case, text="Its author.", by=rita, probes=[submission.messages[:-1]])
        with pytest.raises(BadProbe):
            review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
        assert not Review.objects.exists()

    def test_a_failure_in_the_middle_leaves_nothing(self, submission, rita, monkeypatch) -> None:
        def fail(**fields: object) -> None:
            assert Review.objects.exists()
            raise OSError("disk full")

        monkeypatch.setattr("labeling.actions.review.create_example", fail)
        with pytest.raises(OSError, match="disk full"):
            review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
        assert Submission.objects.get().state == SubmissionState.SUBMITTED
        assert not Review.objects.exists()
        assert not Transition.objects.exists()


class TestRetract:
    def test_a_retracted_example_makes_room_for_the_same_text(self, submission, rita, alice) -> None:
        existing = ExampleFactory(project=submission.project, messages=submission.messages)
        retract_example(example=existing, by=alice, reason="Wrong door")
        assert [(row.after, row.reason) for row in Transition.objects.of(existing)] == [("retracted", "Wrong door")]
        review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
        assert Example.objects.trainable().get().submission == submission

    def test_once_and_with_a_reason(self, project, alice) -> None:
        example = ExampleFactory(project=project)
        with pytest.raises(CommentNeeded):
            retract_example(example=example, by=alice, reason=" ")
        retract_example(example=example, by=alice, reason="Old")
        with pytest.raises(NotAllowed):
            retract_example(example=example, by=alice, reason="Old")
