import pytest
from django.urls import reverse

from labeling.actions.second_review import judge_again
from labeling.models import SecondReview, Submission
from labeling.states import SubmissionState, Verdict
from tests.factories import SecondReviewFactory

NEXT = "/p/kitchen/second-reviews/"
LIST = "/p/kitchen/disagreements/"


@pytest.fixture
def second(project, bob):
    return SecondReviewFactory(
        review__submission__project=project,
        review__submission__author=bob,
        review__verdict=Verdict.EDIT,
        review__comment="I mended a comma.",
    )


def url(second: SecondReview, name: str = "second-review-judge") -> str:
    return reverse(f"labeling-{name}", args=["kitchen", second.pk])


def test_who_may_do_what(second, sign_in, bob, rita, charlie, client) -> None:
    assert {client.get(page).status_code for page in (NEXT, url(second), LIST)} == {302}
    sign_in(charlie)
    assert {client.get(page).status_code for page in (NEXT, url(second), LIST)} == {404}
    sign_in(bob)
    assert {client.get(page).status_code for page in (NEXT, url(second), LIST)} == {403}
    sign_in(rita)
    assert client.get(LIST).status_code == 403
    assert client.post(url(second, "disagreement-settle"), {"settlement": "kept"}).status_code == 403
    assert client.post(NEXT).status_code == 405
    assert client.get(url(second, "second-review-skip")).status_code == 405
    assert client.get(url(SecondReviewFactory())).status_code == 404


class TestJudge:
    def test_is_blind(self, second, sign_in, rita) -> None:
        client = sign_in(rita)
        assert client.get(NEXT)["Location"] == url(second)
        page = client.get(url(second)).content.decode().split("<main")[1].split("</main>")[0]
        assert second.submission.messages[-1]["content"] in page
        for trace in ("comma", "edit", "Edit", str(second.first.reviewer), "Bob", "pill--ok"):
            assert trace not in page

    def test_the_first_reviewer_and_the_author_do_not_find_it(self, second, sign_in, rita, alice, bob) -> None:
        second.first.reviewer = rita
        second.first.save()
        assert sign_in(rita).get(url(second)).status_code == 404
        Submission.objects.update(author=alice)
        assert sign_in(alice).post(url(second), {"is_accepted": "yes"}).status_code == 404

    def test_accepting_goes_on(self, second, sign_in, rita) -> None:
        answer = sign_in(rita).post(url(second), {"is_accepted": "yes"})
        assert answer["Location"] == f"{NEXT}?after={second.pk}"
        second.refresh_from_db()
        assert (second.is_accepted, second.reviewer) == (True, rita)

    def test_not_accepting_needs_a_reason(self, second, sign_in, rita) -> None:
        client = sign_in(rita)
        answer = client.post(url(second), {"is_accepted": "no", "reason": " "})
        assert answer.status_code == 422
        assert b"Say why you would not accept it" in answer.content
        assert client.post(url(second), {"is_accepted": "maybe"}).status_code == 422
        client.post(url(second), {"is_accepted": "no", "reason": "It is false."})
        assert SecondReview.objects.get().reason == "It is false."

    def test_skipping_gives_it_back(self, second, sign_in, rita) -> None:
        client = sign_in(rita)
        client.get(NEXT)
        client.post(url(second, "second-review-skip"))
        second.refresh_from_db()
        assert second.leased_by is None

    def test_the_empty_page_says_why(self, project, sign_in, alice, rita) -> None:
        client = sign_in(rita)
        assert b"switched off" in client.get(NEXT).content
        project.second_review_share = 5
        project.save()
        assert "5 %" in client.get(NEXT).content.decode()
        SecondReviewFactory(review__submission__project=project, review__reviewer=rita)
        assert b"first decided by you" in client.get(NEXT).content

    def test_the_way_there_is_shown_only_while_something_waits(self, second, sign_in, rita) -> None:
        client = sign_in(rita)
        assert f'href="{NEXT}"' in client.get("/p/kitchen/").content.decode()
        SecondReview.objects.all().delete()
        assert f'href="{NEXT}"' not in client.get("/p/kitchen/").content.decode()


class TestDisagreements:
    def test_shows_both_verdicts_and_keeps_or_reopens(self, second, sign_in, rita, alice) -> None:
        judge_again(second=second, is_accepted=False, reason="It is false.", by=rita)
        client = sign_in(alice)
        page = client.get(LIST).content.decode()
        assert "I mended a comma." in page
        assert "It is false." in page
        settle = url(second, "disagreement-settle")
        client.post(settle, {"settlement": "nonsense"})
        client.post(settle, {"settlement": "reopened", "reason": ""})
        assert "It is false." in client.get(LIST).content.decode()
        client.post(settle, {"settlement": "reopened", "reason": "Look again."})
        assert Submission.objects.filter(state=SubmissionState.SUBMITTED, previous=second.submission).exists()
        assert "It is false." not in client.get(LIST).content.decode()
        assert "Reopened" in client.get(f"{LIST}?state=settled").content.decode()

    def test_agreement_is_no_disagreement(self, second, sign_in, rita, alice) -> None:
        judge_again(second=second, is_accepted=True, reason="", by=rita)
        client = sign_in(alice)
        assert b"1 second review has been given so far" in client.get(LIST).content
        assert client.post(url(second, "disagreement-settle"), {"settlement": "kept"}).status_code == 404
