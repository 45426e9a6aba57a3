import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from labeling.actions.comparison import first_side, next_comparison, vote
from labeling.models import Comparison, ComparisonSkip, PreferencePair, Vote, VoteDraft
from labeling.states import ComparisonState, VoteChoice
from tests.factories import ComparisonFactory, InstructionVersionFactory, SubmissionFactory, TaskFactory

NEXT = "/p/kitchen/compare/"
LIST = "/p/kitchen/comparisons/"
IMPORT = f"{LIST}import/"
SETTINGS = "/p/kitchen/settings/judging/"
LINE = '{"prompt": "Who?", "answer_a": "I.", "answer_b": "You."}'


@pytest.fixture
def comparison(project):
    return ComparisonFactory(project=project, origin_a="secret-model-one", origin_b="secret-model-two")


def url(comparison: Comparison, name: str = "vote") -> str:
    return reverse(f"labeling-comparison-{name}", args=["kitchen", comparison.pk])


def test_who_may_do_what(comparison, sign_in, bob, rita, charlie, client) -> None:
    own = [NEXT, url(comparison)]
    admins = [LIST, IMPORT, SETTINGS, url(comparison, "show")]
    assert {client.get(page).status_code for page in own + admins} == {302}
    sign_in(charlie)
    assert {client.get(page).status_code for page in own + admins} == {404}
    assert client.post(url(comparison), {"choice": "same"}).status_code == 404
    sign_in(rita)
    assert {client.get(page).status_code for page in admins} == {403}
    assert {client.post(page).status_code for page in [*admins[1:], f"{LIST}pair/"]} == {403}
    sign_in(bob)
    assert {client.post(page).status_code for page in (NEXT, LIST)} == {405}
    assert client.get(url(comparison, "skip")).status_code == 405
    assert client.get(f"{LIST}pair/").status_code == 405
    assert client.get(url(ComparisonFactory())).status_code == 404
    assert not Vote.objects.exists()


class TestCompare:
    def test_goes_from_one_to_the_next(self, comparison, project, sign_in, bob) -> None:
        other = ComparisonFactory(project=project)
        client = sign_in(bob)
        assert client.get(NEXT)["Location"] == url(comparison)
        answer = client.post(url(comparison), {"choice": "same", "reason": "Both say it."})
        assert answer["Location"] == NEXT
        assert client.get(NEXT)["Location"] == url(other)
        assert Vote.objects.get().reason == "Both say it."

    def test_is_blind_and_in_the_drawn_order(self, project, sign_in, bob) -> None:
        client = sign_in(bob)
        seen = set()
        for _each in range(8):
            row = ComparisonFactory(project=project, origin_a="secret-model-one", origin_b="secret-model-two")
            client.get(NEXT)
            page = client.get(url(row)).content.decode()
            assert "secret" not in page
            assert "origin" not in page
            assert "submission" not in page.split("<main")[1].split("</main>")[0]
            a_first = page.index(row.answer_a) < page.index(row.answer_b)
            assert a_first == (first_side(row, bob) == "a")
            seen.add(a_first)
            client.post(url(row), {"choice": "same"})
        assert seen == {True, False}

    def test_one_that_is_not_in_the_persons_hands_is_not_shown(self, comparison, sign_in, bob) -> None:
        assert sign_in(bob).get(url(comparison))["Location"] == NEXT

    def test_no_choice_and_a_missing_reason_are_said(self, comparison, project, sign_in, bob) -> None:
        client = sign_in(bob)
        answer = client.post(url(comparison), {"reason": "Because."})
        assert answer.status_code == 422
        assert b"Say first which answer is better" in answer.content
        assert b"\nBecause.</textarea>" in answer.content
        project.needs_comparison_reason = True
        project.save()
        answer = client.post(url(comparison), {"choice": "both_bad"})
        assert answer.status_code == 422
        assert b'value="both_bad" required checked' in answer.content

    def test_a_second_vote_is_refused_in_words(self, comparison, sign_in, bob, member_of) -> None:
        vote(comparison=comparison, membership=member_of(bob, comparison.project), choice=VoteChoice.SAME)
        answer = sign_in(bob).post(url(comparison), {"choice": "both_bad"})
        assert answer.status_code == 422
        assert b"The first judgement stands" in answer.content

    def test_what_is_chosen_and_typed_is_kept_and_comes_back(self, comparison, project, sign_in, bob) -> None:
        client = sign_in(bob)
        client.get(NEXT)
        typed = {"choice": "same", "reason": "Both say", "revision": 0, "writer": "one", "step": 1}
        answer = client.post(url(comparison, "draft"), typed, headers={"HX-Request": "true"})
        assert (answer.status_code, b'name="revision" value="1"' in answer.content) == (200, True)
        # the answer before was lost: the same page, an old revision
        lost = {**typed, "reason": "Both say it.", "step": 2}
        assert client.post(url(comparison, "draft"), lost).status_code == 200
        mine = client.get(reverse("labeling-submission-list", args=[project.slug]), {"state": "draft"})
        assert reverse("labeling-comparison-vote", args=[project.slug, comparison.pk]) in mine.content.decode()
        Comparison.objects.update(lease_expires_at=timezone.now(), leased_by=None)
        ComparisonFactory(project=project)
        assert client.get(NEXT)["Location"] == url(comparison)  # not the other one
        page = client.get(url(comparison)).text
        assert "\nBoth say it.</textarea>" in page
        assert 'value="same" required checked' in page
        assert client.post(url(comparison), typed | {"reason": "Both say it.", "revision": 2}).status_code == 302
        assert not VoteDraft.objects.exists()
        assert client.post(url(comparison, "draft"), typed).status_code == 409  # too late; what was voted stands
        assert not VoteDraft.objects.exists()

    def test_two_windows_see_each_others_words(self, comparison, sign_in, bob) -> None:
        client = sign_in(bob)
        client.get(NEXT)
        one = {"choice": "same", "reason": "From one.", "revision": 0, "writer": "one", "step": 1}
        other = {"choice": "both_bad", "reason": "From the other.", "revision": 0, "writer": "other", "step": 1}
        assert client.post(url(comparison, "draft"), one).status_code == 200
        answer = client.post(url(comparison, "draft"), other)
        assert (answer.status_code, b"From one." in answer.content) == (409, True)
        answer = client.post(url(comparison), other, headers={"HX-Request": "true"})
        assert (answer.status_code, "From one." in answer.text, "<html" in answer.text) == (409, True, False)
        assert "\nFrom the other.</textarea>" in answer.text
        assert not Vote.objects.exists()
        assert client.post(url(comparison, "draft"), {**other, "overrule": 1}).status_code == 200
        answer = client.post(url(comparison), {**other, "revision": 2}, headers={"HX-Request": "true"})
        assert answer["HX-Redirect"] == NEXT
        assert client.post(url(comparison), {**other, "then": "stay"}).status_code == 204  # the browser sends it again
        assert Vote.objects.get().reason == "From the other."

    def test_who_is_at_work_keeps_the_comparison(self, comparison, sign_in, bob, rita, member_of) -> None:
        client = sign_in(bob)
        client.get(NEXT)
        Comparison.objects.update(lease_expires_at=timezone.now())
        assert "Yours for another" in client.post(url(comparison, "lease")).text
        comparison.refresh_from_db()
        assert comparison.lease_expires_at > timezone.now()
        Comparison.objects.update(leased_by=rita)
        answer = client.post(url(comparison, "lease"))
        assert (answer.status_code, "Somebody else has this" in answer.text) == (409, True)
        typed = {"choice": "", "reason": "Late.", "revision": 0}
        assert client.post(url(comparison, "draft"), typed).status_code == 200  # the words are kept all the same
        assert "\nLate.</textarea>" in client.get(url(comparison)).text

    def test_skipping_needs_a_reason(self, comparison, sign_in, bob) -> None:
        client = sign_in(bob)
        assert client.post(url(comparison, "skip"), {"reason": ""}).status_code == 422
        assert client.post(url(comparison, "skip"), {"reason": "It is in Greek."})["Location"] == NEXT
        assert ComparisonSkip.objects.get().reason == "It is in Greek."

    def test_an_empty_queue_explains_itself(self, comparison, project, sign_in, bob, alice, member_of) -> None:
        client = sign_in(bob)
        next_comparison(membership=member_of(alice, project))
        page = client.get(NEXT).content.decode()
        assert "1 comparison is left, but none for you" in page
        assert "1 in somebody else&#x27;s hands" in page or "1 in somebody else's hands" in page
        Comparison.objects.all().delete()
        assert b"Every comparison is decided" in client.get(NEXT).content

    def test_unread_instructions_come_first(self, comparison, project, sign_in, bob) -> None:
        InstructionVersionFactory(project=project)
        assert sign_in(bob).get(NEXT)["Location"] == "/p/kitchen/instructions/?next=compare"

    def test_the_way_there_is_shown_only_while_there_is_work(self, comparison, sign_in, bob, member_of) -> None:
        client = sign_in(bob)
        assert f'href="{NEXT}"' in client.get("/p/kitchen/").content.decode()
        vote(comparison=comparison, membership=member_of(bob, comparison.project), choice=VoteChoice.SAME)
        assert f'href="{NEXT}"' not in client.get("/p/kitchen/").content.decode()


class TestAdmin:
    def test_list_by_state_and_words_with_as_many_queries_for_more_rows(
        self, comparison, project, sign_in, alice, django_assert_num_queries
    ) -> None:
        client = sign_in(alice)
        assert "star number" in client.get(LIST).content.decode()
        assert "Nothing matches" in client.get(f"{LIST}?state=decided").content.decode()
        assert "Nothing matches" in client.get(f"{LIST}?q=elephant").content.decode()
        with django_assert_num_queries(10, exact=False) as few:
            client.get(LIST)
        for _each in range(2):
            ComparisonFactory(project=project)
        with django_assert_num_queries(len(few)):
            client.get(LIST)

    def test_shows_votes_and_origins(self, comparison, sign_in, alice, bob, member_of) -> None:
        vote(comparison=comparison, membership=member_of(bob, comparison.project), choice=VoteChoice.FIRST_CLEARLY)
        page = sign_in(alice).get(url(comparison, "show")).content.decode()
        assert "secret-model-one" in page
        assert "Bob" in page
        assert "It is a preference pair" in page

    def test_takes_out_with_a_reason_and_offers_again(self, comparison, sign_in, alice, bob, member_of) -> None:
        vote(comparison=comparison, membership=member_of(bob, comparison.project), choice=VoteChoice.FIRST_CLEARLY)
        client = sign_in(alice)
        assert client.post(url(comparison, "show"), {"action": "retire"}).status_code == 422
        assert client.post(url(comparison, "show"), {"action": "restore"}).status_code == 302  # was not set aside
        client.post(url(comparison, "show"), {"action": "retire", "reason": "Wrong."})
        assert PreferencePair.objects.get().retracted_at is not None
        aside = ComparisonFactory(project=comparison.project, state=ComparisonState.SET_ASIDE)
        client.post(url(aside, "show"), {"action": "restore"})
        aside.refresh_from_db()
        assert aside.state == ComparisonState.OPEN

    def test_imports_lines_and_files(self, project, sign_in, alice) -> None:
        client = sign_in(alice)
        answer = client.post(IMPORT, {"text": f"{LINE}\nnonsense", "n_people": 3})
        assert b"Line 2:" in answer.content
        assert b"nonsense</textarea>" in answer.content
        upload = SimpleUploadedFile("rows.jsonl", LINE.replace("Who", "Why").encode())
        assert client.post(IMPORT, {"file": upload, "n_people": 1}).status_code == 302
        assert [row.n_people for row in Comparison.objects.order_by("pk")] == [3, 1]

    @pytest.mark.parametrize(
        "data",
        [
            {"text": LINE, "n_people": 0},
            {"text": " ", "n_people": 1},
            {"text": "nonsense", "n_people": 1},
            {"file": SimpleUploadedFile("rows.jsonl", b"\xff\xfe"), "n_people": 1},
        ],
    )
    def test_refuses_what_cannot_be_imported(self, project, sign_in, alice, data) -> None:
        answer = sign_in(alice).post(IMPORT, data, headers={"HX-Request": "true"})
        assert answer.status_code == 422
        assert b"<html" not in answer.content
        assert not Comparison.objects.exists()

    def test_compares_double_submissions(self, project, sign_in, alice) -> None:
        client = sign_in(alice)
        task = TaskFactory(project=project)
        for text in ("One.", "Two."):
            SubmissionFactory(
                project=project, task=task, messages=[*task.messages, {"role": "assistant", "content": text}]
            )
        assert b"Compare double submissions" in client.get(LIST).content
        assert client.post(f"{LIST}pair/").status_code == 302
        assert Comparison.objects.get().origin_a.endswith(str(project.submissions.first().pk))

    def test_settings(self, project, sign_in, alice) -> None:
        client = sign_in(alice)
        good = {"n_comparison_people": 3, "needs_comparison_reason": "on", "second_review_share": 15}
        assert client.post(SETTINGS, good).status_code == 302
        project.refresh_from_db()
        assert (project.n_comparison_people, project.needs_comparison_reason, project.second_review_share) == (
            3,
            True,
            15,
        )
        assert client.post(SETTINGS, {**good, "second_review_share": 101}).status_code == 422
