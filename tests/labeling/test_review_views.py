import pytest
from django.urls import reverse

from labeling.actions.review import review_submission, take_submission
from labeling.models import Example, Review, Submission
from labeling.states import SubmissionState, Verdict
from tests.factories import ExampleFactory, InstructionVersionFactory, SubmissionFactory

NEXT = "/p/kitchen/review/"


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
    assert {client.get(url(submission, name)).status_code for name in ("skip", "diff")} == {405}
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
        response = sign_in(rita).post(url(submission), {"verdict": "accept"})
        assert response["Location"] == f"{NEXT}?after={submission.pk}"
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
    assert client.post(url(submission, "skip"))["Location"] == f"{NEXT}?after={submission.pk}"
    submission.refresh_from_db()
    assert (submission.leased_by, submission.state) == (None, SubmissionState.SUBMITTED)


def test_the_diff_is_of_what_may_be_edited(submission, sign_in, rita) -> None:
    client = sign_in(rita)
    same = client.post(url(submission, "diff"), {"turn-1": submission.messages[1]["content"], "turn-0": "Other?"})
    assert b"Nothing is changed yet." in same.content
    page = client.post(url(submission, "diff"), {"turn-1": "One more than ever."}).content.decode()
    assert "<del>before</del><ins>ever</ins>" in page
