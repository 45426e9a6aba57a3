import uuid
from datetime import timedelta
from typing import ClassVar

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from labeling.actions.review import review_submission, take_submission
from labeling.actions.submission import revise, withdraw
from labeling.models import Comment, Example, Project, Review, ReviewDraft, Submission
from labeling.states import SubmissionState, Verdict
from tests.factories import (
    CaseFactory,
    ExampleFactory,
    InstructionVersionFactory,
    MembershipFactory,
    ReviewFactory,
    SubmissionFactory,
)

NEXT = "/p/kitchen/review/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def submission(project, bob):
    version = InstructionVersionFactory(project=project, text="Answer by version one.")
    return SubmissionFactory(project=project, author=bob, instruction_version=version)


def url(submission: Submission, name: str = "submission") -> str:
    return reverse(f"labeling-review-{name}", args=["kitchen", submission.pk])


def test_review_is_for_reviewers_of_the_project(submission, sign_in, bob, rita, charlie, client) -> None:
    pages = [NEXT, url(submission)]
    assert {client.get(page).status_code for page in pages} == {302}
    sign_in(charlie)
    assert {client.get(page).status_code for page in pages} == {404}
    sign_in(bob)
    assert {client.get(page).status_code for page in pages} == {403}
    assert client.post(url(submission), {"verdict": "accept"}).status_code == 403
    sign_in(rita)
    assert client.post(NEXT).status_code == 405
    assert client.delete(url(submission)).status_code == 405
    assert {client.get(url(submission, name)).status_code for name in ("skip", "draft", "undo")} == {405}
    assert client.get(url(SubmissionFactory())).status_code == 404
    assert not Review.objects.exists()


class TestNext:
    def test_goes_to_the_oldest_and_holds_it(self, submission, sign_in, rita) -> None:
        SubmissionFactory(project=submission.project)
        assert sign_in(rita).get(NEXT)["Location"] == url(submission)
        submission.refresh_from_db()
        assert submission.leased_by == rita

    def test_says_why_nothing_is_there(self, project, sign_in, rita) -> None:
        client = sign_in(rita)
        assert b"New submissions appear here" in client.get(NEXT).content
        SubmissionFactory(project=project, author=rita)
        assert b"1 submission of your own waits" in client.get(NEXT).content


class TestPage:
    def test_shows_the_pinned_instructions_and_that_they_are_superseded(self, submission, sign_in, rita) -> None:
        client = sign_in(rita)
        page = client.get(url(submission)).content.decode()
        assert "Answer by version one." in page
        assert "has replaced" not in page
        InstructionVersionFactory(project=submission.project, number=2, text="Answer by version two.")
        page = client.get(url(submission)).content.decode()
        assert "which version 2 has replaced" in page
        assert "Answer by version two." not in page

    def test_shows_the_former_revisions_and_their_comments(self, submission, sign_in, rita) -> None:
        review_submission(submission=submission, verdict=Verdict.SEND_BACK, by=rita, comment="Say it shorter.")
        revision = SubmissionFactory(
            project=submission.project,
            task=submission.task,
            author=submission.author,
            revision=2,
            previous=submission,
            messages=[submission.messages[0], {"role": "assistant", "content": "One more."}],
        )
        page = sign_in(rita).get(url(revision)).content.decode()
        assert "Say it shorter." in page
        assert "<del> than before</del>" in page

    def test_another_reviewer_sees_who_holds_it(self, submission, sign_in, rita, alice) -> None:
        take_submission(project=submission.project, reviewer=rita)
        page = sign_in(alice).get(url(submission)).content.decode()
        assert "Rita is reviewing this" in page
        assert 'name="verdict"' not in page

    def test_nobody_decides_on_their_own(self, project, sign_in, rita) -> None:
        own = SubmissionFactory(project=project, author=rita)
        client = sign_in(rita)
        page = client.get(url(own)).content.decode()
        assert "You wrote this yourself" in page
        assert 'name="verdict"' not in page
        assert client.post(url(own), {"verdict": "accept"}).status_code == 422
        assert not Review.objects.exists()


class TestDecision:
    def test_accept_and_on_to_the_next(self, submission, sign_in, rita) -> None:
        younger = SubmissionFactory(project=submission.project)
        client = sign_in(rita)
        assert client.post(url(submission), {"verdict": "accept"})["Location"] == url(younger)
        younger.refresh_from_db()
        assert younger.leased_by == rita
        assert client.post(url(younger), {"verdict": "accept"})["Location"] == f"{NEXT}?after={younger.pk}"
        Example.objects.exclude(submission=submission).delete()
        assert Example.objects.get().submission == submission

    def test_edit_and_accept(self, submission, sign_in, rita) -> None:
        sign_in(rita).post(url(submission), {"verdict": "edit", "turn-1": "One more.", "turn-0": "Another prompt?"})
        prompt = submission.messages[0]
        assert Example.objects.get().messages == [prompt, {"role": "assistant", "content": "One more."}]

    @pytest.mark.parametrize("verdict", ["send_back", "reject"])
    def test_no_without_a_reason_is_asked_for_it(self, submission, sign_in, rita, verdict) -> None:
        client = sign_in(rita)
        response = client.post(url(submission), {"verdict": verdict, "comment": " "})
        assert response.status_code == 422
        assert b"Say why, in a sentence" in response.content
        client.post(url(submission), {"verdict": verdict, "comment": "Too long."})
        assert Review.objects.get().comment == "Too long."

    @pytest.mark.parametrize("data", [{}, {"verdict": "perhaps"}, {"verdict": "edit", "turn-1": " "}])
    def test_nonsense_decides_nothing(self, submission, sign_in, rita, data) -> None:
        assert sign_in(rita).post(url(submission), data).status_code == 422
        assert not Review.objects.exists()

    def test_a_late_decision_shows_both_and_overwrites_nothing(self, submission, sign_in, rita, alice) -> None:
        edited = [submission.messages[0], {"role": "assistant", "content": "Alice wrote this."}]
        review_submission(submission=submission, verdict=Verdict.EDIT, by=alice, messages=edited, comment="Better so.")
        response = sign_in(rita).post(
            url(submission), {"verdict": "edit", "turn-1": "Rita typed that.", "comment": "Hers"}
        )
        assert response.status_code == 409
        page = response.content.decode()
        assert "Somebody decided on this submission before you" in page
        for text in ("Alice", "Better so.", "wrote this", "typed that", "Hers"):
            assert text in page
        assert Review.objects.get().reviewer == alice
        assert Example.objects.get().messages == edited

    def test_a_duplicate_is_named(self, submission, sign_in, rita) -> None:
        ExampleFactory(project=submission.project, messages=submission.messages)
        response = sign_in(rita).post(url(submission), {"verdict": "accept"})
        assert response.status_code == 422
        assert b"exists already" in response.content
        submission.refresh_from_db()
        assert submission.state == SubmissionState.SUBMITTED


def test_skip_gives_it_back(submission, sign_in, rita) -> None:
    client = sign_in(rita)
    client.get(NEXT)
    younger = SubmissionFactory(project=submission.project)
    assert client.post(url(submission, "skip"))["Location"] == url(younger)
    submission.refresh_from_db()
    assert (submission.leased_by, submission.state) == (None, SubmissionState.SUBMITTED)


class TestDraft:
    def test_a_pause_in_typing_keeps_the_text_and_shows_the_diff(self, submission, sign_in, rita) -> None:
        client = sign_in(rita)
        client.get(url(submission))
        same = {"verdict": "edit", "turn-1": submission.messages[1]["content"], "turn-0": "Other?"}
        assert b"Nothing is changed yet." in client.post(url(submission, "draft"), same, headers=HTMX).content
        typed = {"verdict": "edit", "turn-1": "One more than ever.", "comment": "So.", "revision": 1}
        page = client.post(url(submission, "draft"), typed, headers=HTMX).content.decode()
        assert "<del>before</del><ins>ever</ins>" in page
        assert 'id="revision-reject" type="hidden" name="revision" value="2"' in page
        page = client.get(url(submission)).content.decode()
        assert "One more than ever." in page
        assert 'value="So."' in page

    def test_another_window_is_shown_and_not_overwritten(self, submission, sign_in, rita) -> None:
        client = sign_in(rita)
        client.post(url(submission, "draft"), {"verdict": "reject", "comment": "First window."}, headers=HTMX)
        late = {"verdict": "reject", "comment": "Second window."}
        response = client.post(url(submission, "draft"), late, headers=HTMX)
        assert response.status_code == 409
        assert b"First window." in response.content
        assert ReviewDraft.objects.get().content["reject"]["comment"] == "First window."
        chosen = client.post(url(submission, "draft"), {**late, "revision": 1}, headers=HTMX)
        assert chosen.status_code == 200
        assert ReviewDraft.objects.get().content["reject"]["comment"] == "Second window."

    def test_without_javascript_the_page_comes_back(self, submission, sign_in, rita) -> None:
        response = sign_in(rita).post(url(submission, "draft"), {"verdict": "reject", "comment": "Hm"})
        assert response["Location"] == url(submission)
        assert ReviewDraft.objects.get().user == rita


class TestLate:
    def test_a_withdrawn_text_leaves_the_edit_in_the_draft(self, submission, sign_in, rita, bob) -> None:
        client = sign_in(rita)
        client.get(url(submission))
        withdraw(submission=submission, by=bob)
        response = client.post(url(submission), {"verdict": "edit", "turn-1": "Rita's better words."})
        assert response.status_code == 409
        page = response.content.decode()
        assert "What is there now" in page
        assert "Withdrawn" in page
        assert ReviewDraft.objects.get().content["edit"]["messages"][1]["content"] == "Rita's better words."
        assert "better words." in client.get(url(submission)).content.decode()

    def test_a_lease_that_went_to_another_shows_who_has_it(self, submission, sign_in, rita, alice) -> None:
        client = sign_in(rita)
        client.get(url(submission))
        Submission.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        take_submission(project=submission.project, reviewer=alice)
        response = client.post(url(submission), {"verdict": "edit", "turn-1": "Rita's better words."})
        assert response.status_code == 409
        page = response.content.decode()
        assert "Alice is reviewing this" in page
        assert "One more than before." in page
        assert "better words." in page
        assert not Review.objects.exists()

    def test_a_newer_revision_is_what_is_there_now(self, submission, sign_in, rita, alice, bob) -> None:
        client = sign_in(rita)
        review_submission(submission=submission, verdict=Verdict.SEND_BACK, by=alice, comment="Shorter.")
        turns = [submission.messages[0], {"role": "assistant", "content": "One more, in short."}]
        revision = revise(submission=submission, messages=turns, by=bob, idempotency_key=uuid.uuid4())
        response = client.post(url(submission), {"verdict": "edit", "turn-1": "One more, in my words."})
        assert response.status_code == 409
        page = response.content.decode()
        assert "There is a newer text: revision 2" in page
        assert url(revision) in page
        assert "<del>short</del><ins>my words</ins>" in page


class TestSendBack:
    PASSAGE: ClassVar = {
        "verdict": "send_back",
        "passage_text": ["Than before what?", " "],
        "passage_turn": ["1", "0"],
        "passage_quote": ["before", "x"],
        "passage_start": ["14", ""],
    }

    def test_a_remark_on_a_passage_is_enough_and_is_marked_for_both(self, submission, sign_in, rita, bob) -> None:
        client = sign_in(rita)
        assert client.post(url(submission), self.PASSAGE).status_code == 302
        comment = Comment.objects.get()
        assert (comment.turn, comment.start, comment.end, comment.text) == (1, 14, 20, "Than before what?")
        assert '<mark id="passage-1">before</mark>' in client.get(url(submission)).content.decode()
        client = sign_in(bob)
        assert "1 new comment: Sent back" in client.get("/p/kitchen/").content.decode()
        assert "Than before what?" in client.get("/p/kitchen/work/?state=returned").content.decode()
        assert "1 new comment" not in client.get("/p/kitchen/work/").content.decode()

    def test_the_third_goes_to_an_admin(self, submission, sign_in, rita, alice) -> None:
        Project.objects.update(max_send_backs=1)
        first = SubmissionFactory(project=submission.project, state=SubmissionState.REVISED)
        ReviewFactory(submission=first, verdict=Verdict.SEND_BACK)
        second = SubmissionFactory(
            project=submission.project, task=first.task, author=first.author, previous=first, revision=2
        )
        client = sign_in(rita)
        assert "Hand to an admin" in client.get(url(second)).content.decode()
        client.post(url(second), {"verdict": "send_back", "comment": "Still too long."})
        second.refresh_from_db()
        assert (second.state, second.needs_admin) == (SubmissionState.SUBMITTED, True)
        assert client.post(url(second), {"verdict": "accept"}).status_code == 409
        assert client.get(f"{NEXT}?tab=escalated").status_code == 200
        client = sign_in(alice)
        assert "For an admin to decide" in client.get("/p/kitchen/").content.decode()
        assert client.get(f"{NEXT}?tab=escalated")["Location"] == f"{url(second)}?tab=escalated"
        page = client.get(f"{url(second)}?tab=escalated").content.decode()
        assert "Still too long." in page
        assert "Hand to an admin" not in page
        client.post(url(second), {"verdict": "send_back", "comment": "Once more, please."})
        second.refresh_from_db()
        assert (second.state, second.needs_admin) == (SubmissionState.RETURNED, False)


class TestUndo:
    def test_the_last_decision_is_offered_and_taken_back_with_its_words(self, submission, sign_in, rita) -> None:
        client = sign_in(rita)
        client.post(url(submission), {"verdict": "reject", "comment": "Off topic.", "reason": "off_prompt"})
        assert url(submission, "undo") in client.get(NEXT).content.decode()
        assert client.post(url(submission, "undo"))["Location"] == url(submission)
        page = client.get(url(submission)).content.decode()
        assert "Off topic." in page
        assert '<option value="off_prompt" selected>' in page
        assert not Review.objects.exists()

    def test_only_by_the_one_who_decided(self, submission, sign_in, rita, alice) -> None:
        review_submission(submission=submission, verdict=Verdict.ACCEPT, by=rita)
        client = sign_in(alice)
        assert url(submission, "undo") not in client.get(url(submission)).content.decode()
        client.post(url(submission, "undo"))
        assert Review.objects.get().reviewer == rita


class TestList:
    def test_the_queue_stands_beside_the_work_with_its_filters(self, submission, sign_in, rita, bob) -> None:
        other = SubmissionFactory(project=submission.project, revision=2)
        client = sign_in(rita)
        page = client.get(url(submission)).content.decode()
        assert f'href="{url(other)}" data-key="j"' in page
        assert client.get(f"{NEXT}?again=on")["Location"] == f"{url(other)}?again=on"
        assert client.get(f"{NEXT}?who={bob.pk}")["Location"] == f"{url(submission)}?who={bob.pk}"
        assert b"The filter leaves out" in client.get(f"{NEXT}?mine=on").content
        assert client.get(f"{NEXT}?tab=nonsense&who=x")["Location"] == url(submission)

    def test_its_queries_do_not_grow_with_the_rows(self, submission, sign_in, rita) -> None:
        client = sign_in(rita)
        client.get(url(submission))
        with CaptureQueriesContext(connection) as one:
            client.get(url(submission))
        SubmissionFactory.create_batch(3, project=submission.project)
        with CaptureQueriesContext(connection) as four:
            client.get(url(submission))
        assert len(four) == len(one)

    def test_moving_on_gives_back_what_was_not_worked_on(self, submission, sign_in, rita) -> None:
        second, third = SubmissionFactory.create_batch(2, project=submission.project)
        client = sign_in(rita)
        client.get(url(submission))
        client.get(url(second))
        client.post(url(second, "draft"), {"verdict": "reject", "comment": "Hm"}, headers=HTMX)
        client.get(url(third))
        held = Submission.objects.filter(leased_by=rita)
        assert set(held.values_list("pk", flat=True)) == {second.pk, third.pk}

    def test_cases_are_a_tab_of_it(self, project, sign_in, rita) -> None:
        case = CaseFactory(project=project)
        page = sign_in(rita).get(f"{NEXT}?tab=cases").content.decode()
        assert f"/p/kitchen/cases/{case.pk}/" in page


class TestThread:
    def test_an_authors_answer_is_unread_until_a_reviewer_opens_it(self, submission, sign_in, rita, bob) -> None:
        review_submission(submission=submission, verdict=Verdict.SEND_BACK, by=rita, comment="Why?")
        answer = {"text": "Because of the manual."}
        response = sign_in(bob).post(f"/p/kitchen/submissions/{submission.pk}/comments/", answer)
        assert response["Location"].endswith(f"?state=returned#submission-{submission.pk}")
        client = sign_in(rita)
        assert client.get(f"{NEXT}?tab=answers")["Location"] == f"{url(submission)}?tab=answers"
        assert "Because of the manual." in client.get(f"{url(submission)}?tab=answers").content.decode()
        assert client.get(f"{NEXT}?tab=answers").status_code == 200
        assert Comment.objects.get().read_at

    def test_htmx_gets_the_talk_and_silence_is_refused(self, submission, sign_in, rita) -> None:
        address = f"/p/kitchen/submissions/{submission.pk}/comments/"
        client = sign_in(rita)
        assert client.get(address).status_code == 405
        assert client.post(address, {"text": " "}, headers=HTMX).status_code == 422
        page = client.post(address, {"text": "Good work."}, headers=HTMX).content.decode()
        assert "Good work." in page
        assert "<html" not in page

    def test_it_is_for_those_concerned(self, submission, sign_in, charlie, project, member_of) -> None:
        address = f"/p/kitchen/submissions/{submission.pk}/comments/"
        assert sign_in(charlie).post(address, {"text": "Hi"}).status_code == 404
        other = MembershipFactory(project=project).user
        assert sign_in(other).post(address, {"text": "Hi"}).status_code == 404
        assert not Comment.objects.exists()
