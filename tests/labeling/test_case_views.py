import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from labeling.actions.case import claim_case, correct_case, dismiss_case, report_output
from labeling.actions.case_training import settle_case, start_training
from labeling.models import Case, Correction, Draft
from labeling.states import CaseState, Reason, Source
from tests.factories import CaseFactory, InstructionVersionFactory, ProjectFactory

HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def case(project):
    return CaseFactory(
        project=project,
        messages=[{"role": "user", "content": "Which city is the capital of Australia?"}],
        wrong_output="It is Sydney.",
    )


def url(name: str, case: Case | None = None) -> str:
    return reverse(f"labeling-case-{name}", args=["kitchen", case.pk] if case else ["kitchen"])


WORK = ["claim", "release", "dismiss", "draft", "correct", "severity", "assign", "reopen", "merge", "unmerge"]


@pytest.mark.parametrize("name", ["list", "next"])
def test_the_queue_is_for_reviewers(name, project, sign_in, bob, charlie, client) -> None:
    assert client.get(url(name)).status_code == 302
    assert sign_in(charlie).get(url(name)).status_code == 404
    assert sign_in(bob).get(url(name)).status_code == 403
    assert client.post(url(name)).status_code == 405


@pytest.mark.parametrize("name", WORK)
def test_work_on_a_case_is_for_reviewers_of_its_project(name, case, sign_in, bob, rita, charlie, client) -> None:
    assert client.post(url(name, case)).status_code == 302
    assert sign_in(charlie).post(url(name, case)).status_code == 404
    assert sign_in(bob).post(url(name, case)).status_code == 403
    assert sign_in(rita).get(url(name, case)).status_code == 405
    elsewhere = CaseFactory(project=ProjectFactory())
    assert client.post(url(name, elsewhere)).status_code == 404
    case.refresh_from_db()
    assert case.state == CaseState.OPEN


class TestList:
    def test_shows_what_waits_in_the_order_of_harm(self, case, project, sign_in, rita) -> None:
        harmful = CaseFactory(project=project, severity=3)
        CaseFactory(project=project, state=CaseState.DISMISSED)
        CaseFactory()
        response = sign_in(rita).get(url("list"))
        assert list(response.context["page"]) == [harmful, case]
        assert [tab["n"] for tab in response.context["tabs"]] == [2, 0, 0, 0, 1, 3]

    def test_filters_and_searches(self, case, project, sign_in, rita) -> None:
        chinese = CaseFactory(
            project=project, messages=[{"role": "user", "content": "图书馆几点开门？"}], state=CaseState.FIXED
        )
        client = sign_in(rita)
        assert list(client.get(url("list"), {"state": "fixed"}).context["page"]) == [chinese]
        assert list(client.get(url("list"), {"state": "all", "q": "图书馆"}).context["page"]) == [chinese]
        assert list(client.get(url("list"), {"state": "all", "q": "CAPITAL sydney"}).context["page"]) == [case]
        assert list(client.get(url("list"), {"state": "nonsense", "q": "100%"}).context["page"]) == []

    def test_gives_htmx_the_table_alone(self, case, sign_in, rita) -> None:
        response = sign_in(rita).get(url("list"), **HTMX)
        assert b"<html" not in response.content
        assert b"It is Sydney." in response.content

    def test_asks_the_database_as_often_for_three_rows_as_for_one(
        self, case, project, sign_in, rita, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        client = sign_in(rita)
        client.get(url("list"))
        with django_assert_num_queries(QUERIES_OF_LIST):
            client.get(url("list"))
        for _number in range(2):
            claim_case(case=CaseFactory(project=project), by=rita)
        with django_assert_num_queries(QUERIES_OF_LIST):
            client.get(url("list"))


QUERIES_OF_LIST = 11


class TestNext:
    def test_claims_and_goes_there(self, case, sign_in, rita) -> None:
        response = sign_in(rita).get(url("next"))
        assert response["Location"] == url("show", case)
        case.refresh_from_db()
        assert (case.state, case.leased_by) == (CaseState.CLAIMED, rita)

    def test_two_reviewers_get_two_cases(self, case, project, sign_in, rita, alice, client) -> None:
        other = CaseFactory(project=project)
        first = sign_in(rita).get(url("next"))["Location"]
        second = sign_in(alice).get(url("next"))["Location"]
        assert {first, second} == {url("show", case), url("show", other)}
        third = CaseFactory(project=project)
        assert sign_in(rita).get(url("next"), {"after": case.pk})["Location"] == url("show", third)

    def test_says_when_nothing_waits(self, project, sign_in, rita) -> None:
        response = sign_in(rita).get(url("next"), {"after": "x"}, follow=True)
        assert response.redirect_chain[0][0] == url("list")
        assert b"No case waits for a correction." in response.content


class TestShow:
    def test_offers_the_case_and_then_the_editor(self, case, sign_in, rita) -> None:
        InstructionVersionFactory(project=case.project)
        page = sign_in(rita).get(url("show", case)).content.decode()
        assert "Correct this case" in page
        assert "Answer in plain words." in page
        assert 'name="text"' not in page
        client = sign_in(rita)
        assert client.post(url("claim", case))["Location"] == url("show", case)
        page = client.get(url("show", case)).content.decode()
        assert ">It is Sydney.</textarea>" in page

    def test_tells_another_reviewer_who_holds_it(self, case, sign_in, rita, alice) -> None:
        claim_case(case=case, by=rita)
        client = sign_in(alice)
        page = client.get(url("show", case)).content.decode()
        assert "Rita is correcting it" in page
        assert "Correct this case" not in page
        client.post(url("claim", case))
        case.refresh_from_db()
        assert case.leased_by == rita

    def test_who_reported_it_reads_what_became_of_it(self, project, sign_in, bob, rita) -> None:
        case = report_output(
            project=project,
            messages=[{"role": "user", "content": "Who painted it?"}],
            wrong_output="Rembrandt.",
            model_name="m0",
            reason=Reason.WRONG,
            comment="Bob's own words",
            reporter=bob,
            source=Source.CHAT,
        )
        case.reports.create(reporter=rita, reason=Reason.STYLE, comment="Rita's words")
        correct_case(case=case, text="Leonardo.", by=rita)
        start_training(cases=[case])
        settle_case(case=case, is_fixed=True, model_name="m1")
        page = sign_in(bob).get(url("show", case)).content.decode()
        assert "Fixed in m1." in page
        assert "Leonardo." in page
        assert "Bob&#x27;s own words" in page
        assert "Rita&#x27;s words" not in page
        assert "toolbar" not in page
        assert sign_in(bob).get(url("show", CaseFactory(project=project))).status_code == 404

    def test_a_not_fixed_case_starts_with_the_last_correction(self, case, sign_in, rita) -> None:
        checks = [{"kind": "contains", "value": "Canbera"}]
        correct_case(case=case, text="Canbera.", by=rita, note="City", checks=checks, probes=["Name it."])
        start_training(cases=[case])
        settle_case(case=case, is_fixed=False, model_name="m1")
        client = sign_in(rita)
        client.post(url("claim", case))
        form = client.get(url("show", case)).context["form"]
        assert form.content() == {"text": "Canbera.", "note": "City", "checks": checks, "probes": "Name it."}

    def test_text_of_people_stays_text(self, project, sign_in, rita) -> None:
        case = CaseFactory(project=project, wrong_output="<script>alert(1)</script>")
        client = sign_in(rita)
        client.post(url("claim", case))
        assert b"<script>alert" not in client.get(url("show", case)).content


class TestDraft:
    typed = {
        "text": "It is Canb",
        "note": "",
        "probes": "Name",
        "check_kind": ["contains", "max_words", "contains"],
        "check_value": ["Canberra", "many", ""],
    }

    def test_saves_and_answers_with_the_diff_and_the_checks(self, case, sign_in, rita) -> None:
        client = sign_in(rita)
        client.post(url("claim", case))
        response = client.post(url("draft", case), self.typed | {"revision": 0}, **HTMX)
        page = response.content.decode()
        assert response.status_code == 200
        assert "<del>Sydney.</del><ins>Canb</ins>" in page
        assert "fails" in page
        assert "Check 2 needs a number of words" in page
        draft = Draft.objects.get(case=case, user=rita)
        assert draft.content["checks"] == [
            {"kind": "contains", "value": "Canberra"},
            {"kind": "max_words", "value": "many"},
        ]
        form = client.get(url("show", case)).context["form"]
        assert (form["text"].value(), form["revision"].value()) == ("It is Canb", 1)

    def test_a_save_from_an_old_window_overwrites_nothing(self, case, sign_in, rita) -> None:
        client = sign_in(rita)
        client.post(url("claim", case))
        client.post(url("draft", case), self.typed | {"revision": 0}, **HTMX)
        for text in ("Old window", "Old window, still typing"):
            response = client.post(url("draft", case), {"text": text, "revision": 0}, **HTMX)
            assert response.status_code == 409
            assert response.context["revision"] == 0
            assert b"It is Canb" in response.content
        assert Draft.objects.get().content["text"] == "It is Canb"

    def test_what_is_typed_is_kept_even_when_the_case_is_gone(self, case, sign_in, rita, alice) -> None:
        claim_case(case=case, by=alice)
        response = sign_in(rita).post(url("draft", case), self.typed, **HTMX)
        assert response.status_code == 409
        assert b"Somebody else is working on this" in response.content
        assert Draft.objects.get(user=rita).content["text"] == "It is Canb"

    def test_works_without_javascript(self, case, sign_in, rita) -> None:
        response = sign_in(rita).post(url("draft", case), self.typed)
        assert response["Location"] == url("show", case)
        assert Draft.objects.get().content["text"] == "It is Canb"


class TestCorrect:
    def test_corrects_and_goes_to_the_next(self, case, project, sign_in, rita) -> None:
        other = CaseFactory(project=project)
        client = sign_in(rita)
        data = {
            "text": "It is Canberra.",
            "note": "City",
            "probes": "Name Australia's capital.\n\nAustralia: which capital?\r\n",
            "check_kind": ["contains", "json"],
            "check_value": ["canberra", ""],
        }
        response = client.post(url("correct", case), data)
        assert response.status_code == 422
        assert b"Check 2 fails on the correction itself" in response.content
        data |= {"check_kind": ["contains", "contains"]}
        response = client.post(url("correct", case), data)
        assert response["Location"] == f"{url('next')}?after={case.pk}"
        assert client.get(response["Location"])["Location"] == url("show", other)
        case.refresh_from_db()
        assert (case.state, case.corrections.get().note) == (CaseState.CORRECTED, "City")
        assert (case.test.probes.count(), len(case.test.checks)) == (2, 1)

    @pytest.mark.parametrize(
        ("data", "sentence"),
        [
            ({"text": ""}, "A turn of the conversation is empty"),
            ({"text": "It  is Sydney."}, "The text is the same as the wrong answer"),
            ({"text": "Canberra.", "note": "x" * 501}, "at most 500 characters"),
            (
                {"text": "Canberra.", "probes": "Which city is the capital of Australia?"},
                "is the case&#x27;s own prompt",
            ),
        ],
    )
    def test_says_what_is_missing_and_keeps_what_was_typed(self, case, sign_in, rita, data, sentence) -> None:
        response = sign_in(rita).post(url("correct", case), data)
        assert response.status_code == 422
        page = response.content.decode()
        assert sentence in page
        assert f">{data['text']}</textarea>" in page
        assert not Correction.objects.exists()

    def test_a_late_correction_shows_both_texts_and_overwrites_nothing(self, case, sign_in, rita, alice) -> None:
        correct_case(case=case, text="It is Canberra.", by=alice)
        response = sign_in(rita).post(url("correct", case), {"text": "It is Perth."})
        assert response.status_code == 409
        page = response.content.decode()
        assert "The correction by Alice" in page
        assert "It is Canberra." in page
        assert "It is Perth." in page
        assert Correction.objects.get().text == "It is Canberra."

    def test_a_correction_that_was_begun_before_another_one_stands_beside_it(self, case, sign_in, rita, alice) -> None:
        theirs = correct_case(case=case, text="It is Canbera.", by=alice)
        start_training(cases=[case])
        settle_case(case=case, is_fixed=False, model_name="m1")
        client = sign_in(rita)
        response = client.post(url("correct", case), {"text": "It is Canberra.", "seen": 0})
        assert response.status_code == 409
        page = response.content.decode()
        assert "<del>Canbera</del><ins>Canberra</ins>" in page
        assert f'name="seen" value="{theirs.pk}"' in page
        assert Correction.objects.get() == theirs
        again = client.post(url("correct", case), {"text": "It is Canberra.", "seen": theirs.pk})
        assert again.status_code == 302

    def test_of_a_dismissed_case_the_text_is_shown_back(self, case, sign_in, rita, alice) -> None:
        dismiss_case(case=case, by=alice)
        response = sign_in(rita).post(url("correct", case), {"text": "It is Perth.", "seen": 0})
        assert response.status_code == 409
        assert b"It is Perth." in response.content
        assert not Correction.objects.exists()

    def test_proposed_probes_wait_to_be_taken(self, case, sign_in, rita) -> None:
        client = sign_in(rita)
        client.post(url("claim", case))
        proposals = client.get(url("show", case)).context["proposals"]
        assert len(proposals) == 4
        client.post(url("draft", case), {"text": "It is Canberra.", "probes": "Name it.", "take": proposals[0]})
        assert Draft.objects.get().content["probes"] == f"Name it.\n{proposals[0]}"

    def test_a_check_that_does_not_tell_the_two_apart_is_pointed_out(self, case, sign_in, rita) -> None:
        data = {"text": "It is Canberra.", "check_kind": ["contains", "contains"], "check_value": ["It", "Canberra"]}
        page = sign_in(rita).post(url("draft", case), data, **HTMX).content.decode()
        assert "1 check passes on the wrong output too" in page


class TestLeave:
    def test_skip_gives_back_and_goes_on(self, case, sign_in, rita) -> None:
        client = sign_in(rita)
        client.post(url("claim", case))
        response = client.post(url("release", case), {"then": "next"})
        assert response["Location"] == f"{url('next')}?after={case.pk}"
        case.refresh_from_db()
        assert case.state == CaseState.OPEN
        assert client.post(url("release", case))["Location"] == url("show", case)

    def test_dismiss(self, case, sign_in, rita) -> None:
        client = sign_in(rita)
        assert client.post(url("dismiss", case), {"reason": "x" * 501}).status_code == 422
        response = client.post(url("dismiss", case), {"reason": "It is right."})
        assert response["Location"] == f"{url('next')}?after={case.pk}"
        case.refresh_from_db()
        assert case.state == CaseState.DISMISSED
        page = client.get(url("show", case)).content
        assert b"It is right." in page
        assert client.post(url("dismiss", case))["Location"] == url("show", case)
