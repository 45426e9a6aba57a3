import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from labeling.actions.case import (
    claim_case,
    correct_case,
    dismiss_case,
    release_case,
    report_output,
    take_case,
)
from labeling.actions.case_training import return_from_training, settle_case, start_training
from labeling.actions.errors import BadConversation, EmptyAnswer, HeldByOther, NotCorrectable
from labeling.models import Case, Project, Report
from labeling.states import CASE_LIVE, CaseState, Reason, Source
from tests.factories import CaseFactory, ProjectFactory

PROMPT = [{"role": "user", "content": "Who painted the Mona Lisa?"}]


def report(project: Project, **fields: object) -> Case:
    said = {"messages": PROMPT, "wrong_output": "Rembrandt.", "model_name": "m0", "reason": Reason.WRONG}
    return report_output(project=project, source=Source.CHAT, **(said | fields))


class TestReportOutput:
    def test_a_first_report_opens_a_case(self, project, bob) -> None:
        case = report(project, wrong_output=" Rembrandt. ", reporter=bob, comment="no!", completion_key="chatcmpl-1")
        assert (case.state, case.wrong_output, case.model_name) == (CaseState.OPEN, "Rembrandt.", "m0")
        assert (case.n_reports, case.severity) == (1, 2)
        row = case.reports.get()
        assert (row.reporter, row.reason, row.comment, row.completion_key) == (bob, "wrong", "no!", "chatcmpl-1")

    def test_a_report_of_the_same_output_joins(self, project, bob, rita) -> None:
        first = report(project, reporter=bob, reason=Reason.STYLE)
        second = report(project, reporter=rita, reason=Reason.HARMFUL, model_name="m1")
        assert (first.pk, second.model_name) == (second.pk, "m0")
        assert (first.severity, second.severity, second.n_reports) == (1, 3, 2)

    def test_another_output_or_prompt_or_project_opens_another_case(self, project, bob) -> None:
        keys = {
            report(project).pk,
            report(project, wrong_output="Vermeer.").pk,
            report(project, messages=[{"role": "system", "content": "Be brief."}, *PROMPT]).pk,
            report(ProjectFactory()).pk,
        }
        assert len(keys) == 4

    def test_the_same_person_changes_their_report_of_the_same_completion(self, project, bob) -> None:
        report(project, reporter=bob, completion_key="chatcmpl-1", reason=Reason.HARMFUL)
        case = report(project, reporter=bob, completion_key="chatcmpl-1", reason=Reason.STYLE, comment="too long")
        assert (case.n_reports, case.severity) == (1, 1)
        assert case.reports.get().comment == "too long"
        assert report(project, reporter=bob, completion_key="chatcmpl-2").n_reports == 2

    def test_a_later_report_opens_a_new_case_but_not_the_same_click(self, project, bob, rita) -> None:
        case = report(project, reporter=bob, completion_key="chatcmpl-1")
        dismiss_case(case=case, by=rita)
        assert report(project, reporter=bob, completion_key="chatcmpl-1") == case
        again = report(project, reporter=bob, completion_key="chatcmpl-2")
        assert (again.pk != case.pk, again.state) == (True, CaseState.OPEN)

    def test_what_cannot_be_corrected_is_refused(self, project) -> None:
        with pytest.raises(EmptyAnswer):
            report(project, wrong_output=" \n")
        with pytest.raises(BadConversation):
            report(project, messages=[*PROMPT, {"role": "assistant", "content": "Hm."}])
        assert not Case.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_reporters_at_once_share_one_case(self, project) -> None:
        start, cases, errors = threading.Barrier(4), [], []

        def run(number: int) -> None:
            try:
                start.wait(timeout=30)
                cases.append(report(project, completion_key=f"chatcmpl-{number}").pk)
            except Exception as error:  # noqa: BLE001  a thread's error has to reach the test
                errors.append(error)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=run, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert errors == []
        assert len(set(cases)) == 1
        case = Case.objects.get()
        assert case.n_reports == Report.objects.count() == 4

    def test_who_loses_the_race_joins(self, project, monkeypatch) -> None:
        create = Case.objects.create

        def lose(**fields: object) -> Case:
            monkeypatch.setattr(Case.objects, "create", create)
            create(**fields)
            return create(**fields)

        monkeypatch.setattr(Case.objects, "create", lose)
        case = report(project)
        assert (Case.objects.get(), case.n_reports) == (case, 1)


class TestLease:
    def test_of_two_reviewers_one_holds_the_case(self, project, rita, alice) -> None:
        case = CaseFactory(project=project)
        seen_by_alice = Case.objects.get(pk=case.pk)
        claim_case(case=case, by=rita)
        assert (case.state, case.leased_by) == (CaseState.CLAIMED, rita)
        with pytest.raises(HeldByOther):
            claim_case(case=seen_by_alice, by=alice)
        with pytest.raises(HeldByOther):
            release_case(case=seen_by_alice, by=alice)
        with pytest.raises(HeldByOther):
            dismiss_case(case=seen_by_alice, by=alice)
        release_case(case=case, by=rita)
        assert (case.state, case.leased_by) == (CaseState.OPEN, None)

    def test_a_lease_that_ran_out_is_free(self, project, rita, alice) -> None:
        case = CaseFactory(project=project)
        claim_case(case=case, by=rita)
        Case.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        claim_case(case=case, by=alice)
        assert case.leased_by == alice
        with pytest.raises(HeldByOther):
            correct_case(case=case, text="Leonardo.", by=rita)

    def test_whoever_wrote_past_the_end_of_the_lease_may_still_hand_in(self, project, rita) -> None:
        case = CaseFactory(project=project)
        claim_case(case=case, by=rita)
        Case.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        correct_case(case=case, text="Leonardo.", by=rita)
        assert case.state == CaseState.CORRECTED

    def test_the_queue_gives_the_most_harmful_first_and_no_case_twice(self, project, rita, alice) -> None:
        CaseFactory(project=project, severity=1, n_reports=9)
        harmful = CaseFactory(project=project, severity=3)
        often = CaseFactory(project=project, severity=2, n_reports=5)
        CaseFactory(severity=3)
        assert take_case(project=project, by=rita) == harmful
        assert take_case(project=project, by=alice) == often
        assert take_case(project=project, by=rita) == harmful

    def test_a_case_that_was_left_comes_again_only_when_no_other_waits(self, project, rita) -> None:
        first, second = CaseFactory(project=project, severity=3), CaseFactory(project=project)
        assert take_case(project=project, by=rita, after=first.pk) == second
        correct_case(case=second, text="Leonardo.", by=rita)
        assert take_case(project=project, by=rita, after=first.pk) == first
        correct_case(case=first, text="Leonardo.", by=rita)
        assert take_case(project=project, by=rita) is None


class TestLife:
    def test_a_dismissed_case_is_not_corrected(self, project, rita) -> None:
        case = CaseFactory(project=project)
        dismiss_case(case=case, by=rita, reason=" It is right. ")
        assert (case.state, case.settled_at is not None) == (CaseState.DISMISSED, True)
        with pytest.raises(NotCorrectable):
            correct_case(case=case, text="Leonardo.", by=rita)
        with pytest.raises(NotCorrectable):
            dismiss_case(case=case, by=rita)

    def test_training_takes_what_is_corrected(self, project, rita) -> None:
        untouched, corrected = CaseFactory(project=project), CaseFactory(project=project)
        correct_case(case=corrected, text="Leonardo.", by=rita)
        start_training(cases=Case.objects.all())
        assert set(Case.objects.values_list("pk", "state")) == {
            (untouched.pk, "open"),
            (corrected.pk, "in_training"),
        }
        return_from_training(cases=Case.objects.all())
        corrected.refresh_from_db()
        assert corrected.state == CaseState.CORRECTED

    def test_a_case_is_fixed_by_one_model_and_broken_by_the_next(self, project) -> None:
        case = CaseFactory(project=project, state=CaseState.IN_TRAINING)
        settle_case(case=case, is_fixed=True, model_name="m1")
        assert (case.state, case.fixed_in, case.tested_in) == (CaseState.FIXED, "m1", "m1")
        settle_case(case=case, is_fixed=True, model_name="m2")
        assert (case.state, case.fixed_in, case.tested_in) == (CaseState.FIXED, "m1", "m2")
        settle_case(case=case, is_fixed=False, model_name="m3")
        assert (case.state, case.fixed_in, case.tested_in) == (CaseState.NOT_FIXED, "", "m3")
        settle_case(case=case, is_fixed=True, model_name="m2")
        assert (case.state, case.fixed_in) == (CaseState.FIXED, "m2")

    @pytest.mark.parametrize("state", sorted(set(CASE_LIVE) - {CaseState.IN_TRAINING, CaseState.NOT_FIXED}))
    def test_a_verdict_does_not_touch_a_case_at_work(self, project, state) -> None:
        case = CaseFactory(project=project, state=state)
        settle_case(case=case, is_fixed=True, model_name="m1")
        assert (case.state, case.fixed_in) == (state, "")

    def test_a_fixed_case_that_was_reported_anew_leaves_the_work_to_the_new_one(self, project) -> None:
        case = report(project)
        Case.objects.update(state=CaseState.FIXED, fixed_in="m1")
        again = report(project)
        settle_case(case=case, is_fixed=False, model_name="m2")
        assert (case.state, case.tested_in, again.state) == (CaseState.FIXED, "m2", CaseState.OPEN)
