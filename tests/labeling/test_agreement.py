"""From judgements to stored figures, and the page that shows them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from labeling.actions.agreement import request_agreement
from labeling.actions.agreement_figures import compute_agreement, compute_due, compute_nightly
from labeling.models import AgreementFigure, AgreementReport, Grade, SecondReview, Vote
from labeling.queries.judging import agreement_of
from labeling.states import Measure, Verdict
from tests.factories import ComparisonFactory, InstructionVersionFactory, SecondReviewFactory, SubmissionFactory

PAGE = "/p/kitchen/agreement/"


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch) -> None:
    monkeypatch.setattr("labeling.reliability.MIN_ITEMS", 4)


@pytest.fixture
def judged(project, rita, alice):
    """Rita decided five, Alice again: they differ on the last. Three follow the instructions' version 1."""
    version = InstructionVersionFactory(project=project)
    verdicts = [(Verdict.ACCEPT, True), (Verdict.EDIT, True), (Verdict.REJECT, False), (Verdict.SEND_BACK, False)]
    for number, (first, second) in enumerate([*verdicts, (Verdict.ACCEPT, False)]):
        SecondReviewFactory(
            review__submission__project=project,
            review__submission__instruction_version=version if number < 3 else None,
            review__reviewer=rita,
            review__verdict=first,
            reviewer=alice,
            is_accepted=second,
            judged_at=timezone.now(),
        )
    SecondReviewFactory(review__submission__project=project)
    SecondReviewFactory(review__verdict=Verdict.ACCEPT, reviewer=alice, is_accepted=False)  # another project
    return project


def figure(**which):
    return AgreementFigure.objects.get(**{"person": None, "instruction_version": None, **which})


class TestCompute:
    def test_accept_or_not(self, judged, rita) -> None:
        """4 of 5 the same. 10 judgements, 5 yes and 5 no: D_e = 2*5*5/(10*9) = 0.5556, D_o = 0.2, alpha = 0.64."""
        compute_agreement(project=judged)
        whole = figure(measure=Measure.ACCEPT)
        assert (whole.n_items, whole.n_judgements, whole.share_same) == (5, 10, 0.8)
        assert round(whole.alpha, 6) == 0.64
        assert whole.alpha_low < 0.64 < whole.alpha_high
        assert whole.table == {"values": ["accept", "do not accept"], "rows": [[2, 1], [0, 2]]}
        assert figure(measure=Measure.ACCEPT, person=rita).n_items == 5
        by_version = AgreementFigure.objects.get(instruction_version__number=1)
        assert (by_version.n_items, by_version.share_same, by_version.alpha) == (3, None, None)

    def test_votes_by_answer_not_by_place(self, project, alice, bob) -> None:
        for _each in range(4):
            row = ComparisonFactory(project=project, n_people=2)
            Vote.objects.create(comparison=row, person=alice, first_side="a", choice="first_clearly")
            Vote.objects.create(comparison=row, person=bob, first_side="b", choice="second_slightly")
        compute_agreement(project=project)
        whole = figure(measure=Measure.COMPARISON)
        assert (whole.n_items, whole.share_same, whole.alpha) == (4, 1, None)

    def test_scores_of_the_rubric_are_ordinal(self, project, alice, rita) -> None:
        """A near miss costs less than a far one. Near: n = 3, 3, 2, 2 for 1, 2, 6, 7; the squared distance of 1 and 2 is 9.

        D_o = 18/10, D_e = 1550/90; alpha = 1 - 0.10452 = 0.89548.
        """
        scores = [(1, 1), (2, 2), (6, 6), (7, 7)]
        for number, (one, other) in enumerate([*scores, (1, 2)]):
            submission = SubmissionFactory(project=project)
            far = (1, 7) if number == 4 else (one, other)
            for reviewer, near, wide in ((alice, one, far[0]), (rita, other, far[1])):
                Grade.objects.create(
                    submission=submission, reviewer=reviewer, helpful=near, truthful=wide, harmless=7, follows=7
                )
        compute_agreement(project=project)
        near, far = figure(measure=Measure.HELPFUL), figure(measure=Measure.TRUTHFUL)
        assert near.share_same == far.share_same == 0.8
        assert round(near.alpha, 5) == 0.89548
        assert far.alpha < 0.5
        assert figure(measure=Measure.HARMLESS).alpha is None

    def test_a_later_computation_takes_the_place_of_the_last(self, judged) -> None:
        compute_agreement(project=judged)
        n_rows = AgreementFigure.objects.count()
        SecondReview.objects.filter(is_accepted=False, submission__review__verdict=Verdict.ACCEPT).update(
            is_accepted=True
        )
        compute_agreement(project=judged)
        assert AgreementFigure.objects.count() == n_rows
        assert figure(measure=Measure.ACCEPT).share_same == 1

    def test_a_persons_figures(self, judged, rita, bob, member_of) -> None:
        compute_agreement(project=judged)
        found = agreement_of(judged, [rita.pk, bob.pk])
        assert {pk: [(row.measure, row.n_items) for row in rows] for pk, rows in found.items()} == {
            rita.pk: [("accept", 5)]
        }


class TestWhen:
    def test_a_request_that_was_forgotten_is_swept_up(self, judged) -> None:
        report = request_agreement(project=judged)
        assert report.is_due
        assert compute_due() == 0  # its nudge is under way
        AgreementReport.objects.update(requested_at=timezone.now() - timedelta(minutes=5))
        assert compute_due() == 1
        assert compute_due() == 0
        assert not AgreementReport.objects.get().is_due

    def test_the_night_works_out_what_has_news(self, judged, project) -> None:
        assert compute_nightly() == 2
        assert not AgreementReport.objects.get(project=project).is_due
        assert compute_nightly() == 0
        SecondReview.objects.filter(submission__project=project, is_accepted=True).update(judged_at=timezone.now())
        assert compute_nightly() == 1


class TestPage:
    def test_who_may_see_it(self, project, sign_in, bob, rita, charlie, client) -> None:
        assert client.get(PAGE).status_code == 302
        assert sign_in(charlie).get(PAGE).status_code == 404
        assert sign_in(bob).get(PAGE).status_code == 403
        assert b"Nothing to compare yet" in sign_in(rita).get(PAGE).content
        assert client.post(PAGE).status_code == 405
        assert client.post(f"{PAGE}refresh/").status_code == 403
        assert not AgreementReport.objects.exists()

    def test_admins_see_everybody_reviewers_themselves(self, judged, sign_in, rita, alice) -> None:
        compute_agreement(project=judged)
        page = sign_in(rita).get(PAGE).content.decode()
        assert "0.64" in page
        assert '<th scope="row">Rita</th>' in page
        assert '<th scope="row">Alice</th>' not in page
        page = sign_in(alice).get(PAGE).content.decode()
        assert '<th scope="row">Alice</th>' in page
        assert "too few to say" in page  # the version

    def test_asking_anew_polls_until_it_is_there(
        self, judged, sign_in, alice, django_capture_on_commit_callbacks
    ) -> None:
        client = sign_in(alice)
        with django_capture_on_commit_callbacks() as callbacks:
            assert client.post(f"{PAGE}refresh/").status_code == 302
        assert len(callbacks) == 1
        piece = client.get(PAGE, headers={"HX-Request": "true"})
        assert piece.status_code == 200
        assert b"every 2s" in piece.content
        compute_agreement(project=judged)
        piece = client.get(PAGE, headers={"HX-Request": "true"})
        assert piece.status_code == 286
        assert b"<html" not in piece.content

    def test_takes_few_queries(self, judged, sign_in, alice, django_assert_num_queries) -> None:
        compute_agreement(project=judged)
        client = sign_in(alice)
        client.get(PAGE)
        with django_assert_num_queries(10, exact=False):
            client.get(PAGE)
