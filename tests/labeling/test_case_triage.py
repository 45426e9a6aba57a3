"""Severity, assignment, merging, and taking things back."""

import threading

import pytest
from django.db import connections
from django.urls import reverse

from common.models import Transition
from labeling.actions.case import claim_case, correct_case, dismiss_case, reopen_case, report_output, take_case
from labeling.actions.case_training import start_training
from labeling.actions.case_triage import assign_case, merge_cases, set_severity, unmerge_case
from labeling.actions.errors import HeldByOther, LabelingError, NotAssignable, NotCorrectable, NotMergeable
from labeling.models import Case, PreferencePair, Probe, RegressionTest
from labeling.queries.case import case_timeline, near_cases
from labeling.states import CaseState, Reason, Source
from tests.factories import CaseFactory, ProjectFactory


def report(project, question="Who painted the Mona Lisa?", output="Rembrandt.", **fields) -> Case:
    prompt = [{"role": "user", "content": question}]
    said = {"model_name": "m0", "reason": Reason.WRONG, "source": Source.CHAT} | fields
    return report_output(project=project, messages=prompt, wrong_output=output, **said)


def url(name: str, case: Case) -> str:
    return reverse(f"labeling-case-{name}", args=["kitchen", case.pk])


class TestSeverity:
    def test_what_a_reviewer_set_is_not_changed_by_reports(self, project, rita) -> None:
        case = report(project, reason=Reason.HARMFUL)
        set_severity(case=case, severity=1, by=rita)
        again = report(project, reason=Reason.HARMFUL)
        assert (again.pk, again.severity, again.n_reports) == (case.pk, 1, 2)
        line = Transition.objects.of(case).get(what="severity")
        assert (line.before, line.after, line.by_name) == ("harmful", "minor", "Rita")

    def test_the_page_sets_it(self, project, sign_in, rita) -> None:
        case = CaseFactory(project=project)
        client = sign_in(rita)
        assert client.post(url("severity", case), {"severity": "9"}).status_code == 422
        assert client.post(url("severity", case), {"severity": "3"})["Location"] == url("show", case)
        case.refresh_from_db()
        assert case.severity == 3
        assert "set the severity from Minor to Harmful" in client.get(url("show", case)).content.decode()


class TestAssignment:
    def test_an_assigned_case_is_handed_to_that_person_alone(self, project, rita, alice) -> None:
        harmful, minor = CaseFactory(project=project, severity=3), CaseFactory(project=project)
        assign_case(case=minor, assignee=rita, by=alice)
        assign_case(case=harmful, assignee=alice, by=alice)
        assert take_case(project=project, by=rita) == minor
        assert take_case(project=project, by=rita, after=minor.pk) == minor
        assert take_case(project=project, by=alice) == harmful

    def test_only_people_who_correct_can_be_assigned(self, project, rita, bob, charlie) -> None:
        case = CaseFactory(project=project)
        for person in (bob, charlie):
            with pytest.raises(NotAssignable):
                assign_case(case=case, assignee=person, by=rita)
        assign_case(case=case, assignee=rita, by=rita)
        assign_case(case=case, assignee=None, by=rita)
        assert case.assignee is None
        lines = Transition.objects.of(case).filter(what="assignee").values_list("before", "after")
        assert list(lines) == [("", "Rita"), ("Rita", "")]

    def test_the_page_the_list_and_the_home_show_it(self, project, sign_in, rita, bob) -> None:
        case, other = CaseFactory(project=project), CaseFactory(project=project)
        client = sign_in(rita)
        assert client.post(url("assign", case), {"assignee": str(bob.pk)}).status_code == 422
        client.post(url("assign", case), {"assignee": str(rita.pk)})
        case.refresh_from_db()
        assert case.assignee == rita
        listed = reverse("labeling-case-list", args=["kitchen"])
        assert list(client.get(listed, {"mine": "on"}).context["page"]) == [case]
        assert list(client.get(listed, {"person": str(rita.pk)}).context["page"]) == [case]
        assert list(client.get(listed, {"sort": "newest"}).context["page"]) == [other, case]
        home = client.get(reverse("labeling-project-home", args=["kitchen"])).content.decode()
        assert "1 case is assigned to you" in home


class TestFilters:
    def test_by_reason_severity_and_model(self, project, sign_in, rita) -> None:
        harmful = report(project, reason=Reason.HARMFUL, model_name="ft:one")
        style = report(project, output="Raphael.", reason=Reason.STYLE, model_name="ft:two")
        client, listed = sign_in(rita), reverse("labeling-case-list", args=["kitchen"])
        for chosen, case in (
            ({"reason": "style"}, style),
            ({"severity": "3"}, harmful),
            ({"model": "TWO"}, style),
            ({"severity": "nonsense", "q": "rembrandt"}, harmful),
        ):
            response = client.get(listed, chosen)
            assert list(response.context["page"]) == [case], chosen
            assert response.context["tabs"][0]["n"] == 1
        assert b"fits all that you chose" in client.get(listed, {"reason": "refused"}).content


class TestNear:
    def test_the_same_prompt_and_nearly_the_same_are_proposed(self, project, rita, sign_in) -> None:
        case = report(project, "What are the opening hours of the town library on Sundays?", "Ten.")
        same = report(project, "What are the opening hours of the town library on Sundays?", "Nine.")
        near = report(project, "what are the opening hours of the town library on sunday", "Never.")
        report(project, "How do I cook rice without burning it?", "Fry it.")
        report(ProjectFactory(), "What are the opening hours of the town library on Sundays?", "Ten.")
        assert [each.case for each in near_cases(case)] == [same, near]
        assert near_cases(case)[0].alike == 100 > near_cases(case)[1].alike
        page = sign_in(rita).get(url("show", case)).content.decode()
        assert f"Merge #{near.pk} into this one" in page

    def test_only_the_way_that_is_open_is_offered(self, project, rita) -> None:
        corrected, is_open = report(project), report(project, output="Raphael.")
        correct_case(case=corrected, text="Leonardo.", by=rita)
        (from_open,) = near_cases(is_open)
        (from_corrected,) = near_cases(corrected)
        assert (from_open.may_come, from_open.may_go) == (False, True)
        assert (from_corrected.may_come, from_corrected.may_go) == (True, False)

    def test_chinese_prompts_find_each_other(self, project) -> None:
        case = report(project, "市图书馆周日的开放时间是什么时候？请告诉我。", "十点。")
        near = report(project, "市图书馆周日的开放时间是什么时候,请告诉我", "九点。")
        assert [each.case for each in near_cases(case)] == [near]


class TestMerge:
    def test_reports_join_and_the_prompt_becomes_a_probe(self, project, rita, bob) -> None:
        target = report(project, completion_key="chatcmpl-1")
        source = report(project, "Who has painted the Mona Lisa?", reason=Reason.HARMFUL, completion_key="chatcmpl-2")
        merge_cases(source=source, target=target, by=rita)
        source.refresh_from_db()
        target.refresh_from_db()
        assert (source.state, source.merged_into) == (CaseState.MERGED, target)
        assert (target.n_reports, target.severity) == (2, 3)
        correct_case(case=target, text="Leonardo.", by=rita, probes=["Mona Lisa: whose work?"])
        assert {probe.messages[0]["content"] for probe in Probe.objects.all()} == {
            "Mona Lisa: whose work?",
            "Who has painted the Mona Lisa?",
        }

    def test_a_later_report_of_the_merged_output_counts_for_both(self, project, rita, bob) -> None:
        target, source = report(project), report(project, output="Raphael.")
        merge_cases(source=source, target=target, by=rita)
        again = report(project, output="Raphael.", reporter=bob, completion_key="chatcmpl-9", reason=Reason.STYLE)
        report(project, output="Raphael.", reporter=bob, completion_key="chatcmpl-9", reason=Reason.HARMFUL)
        target.refresh_from_db()
        assert (again.pk, target.n_reports, target.severity) == (source.pk, 3, 3)
        Case.objects.filter(pk=target.pk).update(state=CaseState.FIXED)
        assert report(project, output="Raphael.", completion_key="chatcmpl-10").pk not in (source.pk, target.pk)

    def test_probes_and_checks_of_two_corrected_cases_join_and_part_again(self, project, rita) -> None:
        target, source = report(project), report(project, "Whose is the Mona Lisa?", "Raphael's.")
        contains, short = {"kind": "contains", "value": "Leonardo"}, {"kind": "max_words", "value": 3}
        long = {"kind": "contains", "value": "It hangs"}
        correct_case(case=target, text="Leonardo painted it.", by=rita, checks=[contains])
        correct_case(
            case=source, text="Leonardo. It hangs.", by=rita, checks=[contains, short, long], probes=["Whose?"]
        )
        merge_cases(source=source, target=target, by=rita)
        tests = {test.case_id: test for test in RegressionTest.objects.all()}
        assert (tests[target.pk].is_active, tests[source.pk].is_active) == (True, False)
        assert tests[target.pk].checks == [contains, short]
        # The source's own prompt is trained on, through its correction, so it is no probe.
        assert [probe.messages[-1]["content"] for probe in tests[target.pk].probes.all()] == ["Whose?"]
        unmerge_case(case=source, by=rita)
        tests = {test.case_id: test for test in RegressionTest.objects.all()}
        assert (source.state, source.merged_into, tests[source.pk].is_active) == (CaseState.CORRECTED, None, True)
        assert (tests[target.pk].checks, tests[target.pk].probes.count()) == ([contains], 0)

    def test_undo_gives_the_reports_back(self, project, rita, member_of) -> None:
        target, source = report(project), report(project, output="Raphael.", reason=Reason.HARMFUL)
        claim_case(case=source, by=rita)
        merge_cases(source=source, target=target, by=rita)
        unmerge_case(case=source, by=rita)
        target.refresh_from_db()
        assert (source.state, source.n_reports, source.severity) == (CaseState.OPEN, 1, 3)
        assert (target.n_reports, target.severity) == (1, 2)
        told = [entry.row for entry in case_timeline(target, member_of(rita, project)) if entry.kind == "decision"]
        assert told == [f"merged {source} into this case", f"took the merge with {source} back"]
        with pytest.raises(NotMergeable):
            unmerge_case(case=source, by=rita)

    def test_no_undo_after_a_correction(self, project, rita) -> None:
        target, source = report(project), report(project, output="Raphael.")
        merge_cases(source=source, target=target, by=rita)
        correct_case(case=target, text="Leonardo.", by=rita)
        with pytest.raises(NotMergeable):
            unmerge_case(case=source, by=rita)
        source.refresh_from_db()
        assert source.state == CaseState.MERGED

    def test_what_cannot_be_merged(self, project, rita, alice) -> None:
        corrected, is_open, held = report(project), report(project, output="Dürer."), report(project, output="Raphael.")
        correct_case(case=corrected, text="Leonardo.", by=rita)
        claim_case(case=held, by=alice)
        elsewhere = report(ProjectFactory())
        for source, target in ((is_open, is_open), (is_open, elsewhere), (corrected, is_open)):
            with pytest.raises(NotMergeable):
                merge_cases(source=source, target=target, by=rita)
        with pytest.raises(HeldByOther):
            merge_cases(source=held, target=corrected, by=rita)
        start_training(cases=[corrected])
        with pytest.raises(NotMergeable):
            merge_cases(source=is_open, target=corrected, by=rita)

    def test_the_pages_merge_and_undo(self, project, sign_in, rita, bob) -> None:
        target, source = report(project), report(project, output="Raphael.", reporter=bob)
        client = sign_in(rita)
        assert client.post(url("merge", source), {"into": "x"}).status_code == 422
        assert client.post(url("merge", source), {"into": str(report(ProjectFactory()).pk)}).status_code == 404
        assert client.post(url("merge", source), {"into": str(target.pk)})["Location"] == url("show", target)
        assert "Merged into" in client.get(url("show", source)).content.decode()
        assert "The same was reported before" in sign_in(bob).get(url("show", source)).content.decode()
        assert sign_in(rita).post(url("unmerge", source))["Location"] == url("show", source)
        source.refresh_from_db()
        assert source.state == CaseState.OPEN

    @pytest.mark.django_db(transaction=True)
    def test_of_two_opposite_merges_at_once_one_wins(self, project, rita, alice) -> None:
        first, second = report(project), report(project, output="Raphael.")
        start, outcomes = threading.Barrier(2), []

        def run(source: Case, target: Case, by) -> None:
            try:
                start.wait(timeout=30)
                merge_cases(source=source, target=target, by=by)
                outcomes.append("merged")
            except LabelingError:
                outcomes.append("refused")
            finally:
                connections.close_all()

        threads = [threading.Thread(target=run, args=pair) for pair in ((first, second, rita), (second, first, alice))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert sorted(outcomes) == ["merged", "refused"]
        assert sorted(Case.objects.values_list("state", "n_reports")) == [("merged", 1), ("open", 2)]


class TestReopen:
    def test_a_dismissal_is_taken_back_with_what_it_had_put_out_of_use(self, project, rita) -> None:
        case = report(project)
        correct_case(case=case, text="Leonardo.", by=rita)
        Case.objects.update(state=CaseState.NOT_FIXED)
        claim_case(case=case, by=rita)
        dismiss_case(case=case, by=rita)
        assert not RegressionTest.objects.get().is_active
        reopen_case(case=case, by=rita)
        assert (case.state, case.settled_at) == (CaseState.OPEN, None)
        assert RegressionTest.objects.get().is_active
        assert PreferencePair.objects.get().retracted_at is None

    def test_a_case_that_was_reported_anew_stays_dismissed(self, project, rita) -> None:
        case = report(project)
        with pytest.raises(NotCorrectable):
            reopen_case(case=case, by=rita)
        dismiss_case(case=case, by=rita)
        report(project)
        with pytest.raises(NotCorrectable):
            reopen_case(case=case, by=rita)

    def test_the_message_of_a_dismissal_has_the_undo(self, project, sign_in, rita) -> None:
        case = report(project)
        client = sign_in(rita)
        page = client.post(url("dismiss", case), follow=True).content.decode()
        assert f'action="{url("reopen", case)}"' in page
        assert client.post(url("reopen", case))["Location"] == url("show", case)
        case.refresh_from_db()
        assert case.state == CaseState.OPEN
