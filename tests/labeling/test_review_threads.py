"""Remarks on passages, escalation, undo, and the reviewers' drafts."""

import threading
import uuid

import pytest
from django.db import connections
from hypothesis import given
from hypothesis import strategies as st

from common.models import Transition
from labeling.actions.draft import begin_revision
from labeling.actions.errors import (
    AlreadyDecided,
    CommentNeeded,
    HeldByOther,
    NeedsAdmin,
    NotAllowed,
    OwnWork,
    SendBackLimit,
    StaleReviewDraft,
    UndoTooLate,
)
from labeling.actions.review import escalate_submission, review_submission, take_submission
from labeling.actions.review_draft import save_review_draft
from labeling.actions.submission import revise
from labeling.actions.task import next_task
from labeling.actions.thread import Passage, add_comment, locate, read_comments
from labeling.actions.undo import undo_review
from labeling.models import Comment, Example, Review, ReviewDraft, Submission, Task
from labeling.queries.review import mark_passages
from labeling.states import SubmissionState, TaskState, Verdict
from tests.factories import DatasetVersionFactory, SubmissionFactory
from training.models import DatasetRow


@pytest.fixture
def submission(project, bob):
    return SubmissionFactory(project=project, author=bob)


class TestPassages:
    TEXT = "One two one two."

    @pytest.mark.parametrize(
        ("quote", "start", "place"),
        [("two", 12, (12, 15)), ("two", 11, (12, 15)), ("two", 0, (4, 7)), ("three", 0, None), ("", 3, None)],
    )
    def test_a_quote_is_found_where_it_was_selected_or_near(self, quote, start, place) -> None:
        messages = [{"role": "user", "content": self.TEXT}]
        assert locate(messages, Passage("?", turn=0, quote=quote, start=start)) == place
        assert locate(messages, Passage("?", turn=1, quote=quote, start=start)) is None

    @given(st.lists(st.tuples(st.integers(0, 16), st.integers(0, 16)), max_size=5))
    def test_marking_loses_no_letter_and_marks_only_what_was_quoted(self, spans) -> None:
        row = Submission(pk=1, messages=[{"role": "user", "content": self.TEXT}])
        comments = [
            Comment(pk=n, submission=row, turn=0, start=start, end=end, quote=self.TEXT[start:end])
            for n, (start, end) in enumerate(spans, 1)
        ]
        [turn] = mark_passages(row, comments)
        assert "".join(part["text"] for part in turn["parts"]) == self.TEXT
        marked = sum(len(part["text"]) for part in turn["parts"] if part["number"])
        assert marked == len({at for start, end in spans for at in range(start, min(end, len(self.TEXT)))})

    def test_each_side_reads_what_the_other_wrote(self, submission, rita, alice, bob) -> None:
        add_comment(submission=submission, by=rita, text="Why?")
        assert read_comments(submission=submission, by=alice) == 0
        assert read_comments(submission=submission, by=bob) == 1
        add_comment(submission=submission, by=bob, text="Because.")
        assert read_comments(submission=submission, by=bob) == 0
        assert read_comments(submission=submission, by=alice) == 1
        assert Comment.objects.filter(read_at__isnull=True).count() == 0

    def test_what_is_said_about_a_revised_text_goes_to_its_successor(self, submission, rita, bob) -> None:
        review_submission(submission=submission, verdict=Verdict.SEND_BACK, by=rita, comment="No")
        turns = [submission.messages[0], {"role": "assistant", "content": "Another try."}]
        successor = revise(submission=submission, messages=turns, by=bob, idempotency_key=uuid.uuid4())
        submission.refresh_from_db()
        assert add_comment(submission=submission, by=rita, text="And?").submission == successor


class TestEscalation:
    @pytest.fixture
    def often(self, submission, rita, bob):
        """A text that was sent back twice, in its third revision."""
        for number in range(2):
            review_submission(submission=submission, verdict=Verdict.SEND_BACK, by=rita, comment=f"No {number}")
            turns = [submission.messages[0], {"role": "assistant", "content": f"Try {number}"}]
            submission = revise(submission=submission, messages=turns, by=bob, idempotency_key=uuid.uuid4())
        return submission

    def test_a_reviewer_hands_it_to_an_admin_who_decides(self, often, project, rita, alice) -> None:
        with pytest.raises(SendBackLimit):
            review_submission(submission=often, verdict=Verdict.SEND_BACK, by=rita, comment="Again")
        with pytest.raises(CommentNeeded):
            escalate_submission(submission=often, by=rita, comment=" ")
        escalate_submission(submission=often, by=rita, comment="Again", passages=[Passage("Here", 1, "Try", 0)])
        assert (often.state, often.needs_admin, often.leased_by) == (SubmissionState.SUBMITTED, True, None)
        assert list(Comment.objects.values_list("text", "is_internal")) == [("Again", True), ("Here", True)]
        assert Transition.objects.of(often).get().what == "escalated"
        assert take_submission(project=project, reviewer=rita) is None
        with pytest.raises(NeedsAdmin):
            review_submission(submission=often, verdict=Verdict.ACCEPT, by=rita)
        review_submission(submission=often, verdict=Verdict.SEND_BACK, by=alice, comment="One more")
        often.refresh_from_db()
        assert (often.state, often.needs_admin) == (SubmissionState.RETURNED, False)

    def test_accepting_and_rejecting_need_no_admin(self, often, rita) -> None:
        assert review_submission(submission=often, verdict=Verdict.ACCEPT, by=rita).verdict == Verdict.ACCEPT


class TestUndo:
    def test_an_accepted_one_waits_again_and_the_edit_is_a_draft(self, submission, rita) -> None:
        edited = [submission.messages[0], {"role": "assistant", "content": "One more."}]
        review_submission(submission=submission, verdict=Verdict.EDIT, by=rita, messages=edited, comment="Short")
        draft = undo_review(submission=submission, by=rita)
        assert draft.content == {"edit": {"comment": "Short", "messages": edited}}
        assert (submission.state, submission.leased_by) == (SubmissionState.SUBMITTED, rita)
        assert not Example.objects.exists()
        moves = [(row.before, row.after, row.reason) for row in Transition.objects.of(submission)]
        assert moves == [("submitted", "accepted", "Short"), ("accepted", "submitted", "undone")]
        review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
        assert Example.objects.get().submission == submission

    def test_not_once_a_dataset_version_has_it(self, submission, rita, project) -> None:
        review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
        example = Example.objects.get()
        DatasetRow.objects.create(
            version=DatasetVersionFactory(project=project), example=example, position=0, messages=example.messages
        )
        with pytest.raises(UndoTooLate):
            undo_review(submission=submission, by=rita)
        assert Submission.objects.get(pk=submission.pk).state == SubmissionState.ACCEPTED
        assert Review.objects.exists()

    def test_a_send_back_until_its_author_begins(self, submission, rita, bob) -> None:
        passages = [Passage("What?", 1, "before", 14)]
        for _again in range(2):
            review_submission(submission=submission, verdict=Verdict.SEND_BACK, by=rita, passages=passages)
            draft = undo_review(submission=submission, by=rita)
            assert draft.content["send_back"]["passages"][0]["quote"] == "before"
            assert not Comment.objects.exists()
        review_submission(submission=submission, verdict=Verdict.SEND_BACK, by=rita, passages=passages)
        begin_revision(submission=submission, by=bob)
        with pytest.raises(UndoTooLate):
            undo_review(submission=submission, by=rita)
        assert Comment.objects.exists()

    def test_a_send_back_until_its_author_answers(self, submission, rita, bob) -> None:
        review_submission(submission=submission, verdict=Verdict.SEND_BACK, by=rita, comment="No")
        add_comment(submission=submission, by=bob, text="But why?")
        with pytest.raises(UndoTooLate):
            undo_review(submission=submission, by=rita)

    def test_a_rejection_until_somebody_takes_the_prompt(self, submission, project, rita, alice, member_of) -> None:
        review_submission(submission=submission, verdict=Verdict.REJECT, by=rita, comment="No", reason="wrong")
        assert Task.objects.get().state == TaskState.OPEN
        assert undo_review(submission=submission, by=rita).content["reject"]["reason"] == "wrong"
        assert Task.objects.get().state == TaskState.DONE
        review_submission(submission=submission, verdict=Verdict.REJECT, by=rita, comment="No")
        assert next_task(membership=member_of(alice, project)).pk == submission.task_id
        with pytest.raises(UndoTooLate):
            undo_review(submission=submission, by=rita)

    def test_only_ones_own_and_only_once(self, submission, rita, alice) -> None:
        review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
        with pytest.raises(NotAllowed):
            undo_review(submission=submission, by=alice)
        undo_review(submission=submission, by=rita)
        with pytest.raises(NotAllowed):
            undo_review(submission=submission, by=rita)


class TestDraft:
    def test_each_verdict_keeps_its_words_and_the_lease_is_renewed(self, submission, rita) -> None:
        said = {"comment": "Hm"}
        save_review_draft(submission=submission, by=rita, verdict=Verdict.REJECT, content=said, revision=0)
        draft = save_review_draft(submission=submission, by=rita, verdict=Verdict.EDIT, content=said, revision=1)
        assert draft.content == {"reject": said, "edit": said}
        submission.refresh_from_db()
        assert submission.leased_by == rita
        same = save_review_draft(submission=submission, by=rita, verdict=Verdict.EDIT, content=said, revision=0)
        assert same.revision == 2
        with pytest.raises(StaleReviewDraft) as caught:
            save_review_draft(submission=submission, by=rita, verdict=Verdict.EDIT, content={}, revision=1)
        assert caught.value.draft == draft
        review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
        assert not ReviewDraft.objects.exists()

    def test_what_comes_too_late_is_kept_and_said(self, submission, rita, alice, bob) -> None:
        with pytest.raises(OwnWork):
            save_review_draft(submission=submission, by=bob, verdict=Verdict.EDIT, content={}, revision=0)
        take_submission(project=submission.project, reviewer=alice)
        with pytest.raises(HeldByOther):
            save_review_draft(submission=submission, by=rita, verdict=Verdict.EDIT, content={"a": 1}, revision=0)
        review_submission(submission=submission, verdict=Verdict.ACCEPT, by=alice)
        with pytest.raises(AlreadyDecided):
            save_review_draft(submission=submission, by=rita, verdict=Verdict.EDIT, content={"a": 2}, revision=1)
        assert ReviewDraft.objects.get(user=rita).content == {"edit": {"a": 2}}


@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_at_once_one_does_and_no_word_is_lost(submission, rita, alice) -> None:
    start, outcomes = threading.Barrier(2), []

    def decide(reviewer) -> None:
        row = Submission.objects.get(pk=submission.pk)
        edited = [row.messages[0], {"role": "assistant", "content": f"{reviewer} says so."}]
        try:
            start.wait(timeout=30)
            review_submission(submission=row, verdict=Verdict.EDIT, by=reviewer, messages=edited)
            outcomes.append("decided")
        except AlreadyDecided:
            outcomes.append("late")
        except Exception as error:  # noqa: BLE001  a thread's error has to reach the test
            outcomes.append(repr(error))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=decide, args=[reviewer]) for reviewer in (rita, alice)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(outcomes) == ["decided", "late"]
    review = Review.objects.get()
    assert Example.objects.get().messages == review.messages
