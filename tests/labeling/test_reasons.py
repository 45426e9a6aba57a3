"""The reasons of a project: for the chat, the API and the reports."""

import pytest
from django.urls import reverse

from common.models import Transition
from labeling.actions.case import report_output
from labeling.actions.errors import BadReason
from labeling.actions.reason import add_reason, change_reason, write_standard_reasons
from labeling.models import CaseReason, Project
from labeling.queries.case import case_reasons, reason_choices
from labeling.states import Reason, Source

LIST = "/p/kitchen/settings/reasons/"
PROMPT = [{"role": "user", "content": "Who painted the Mona Lisa?"}]


def report(project, reason: str):
    return report_output(
        project=project,
        messages=PROMPT,
        wrong_output="Rembrandt.",
        model_name="m0",
        reason=reason,
        source=Source.CHAT,
    )


class TestActions:
    def test_a_project_begins_with_the_standard_ones(self, project) -> None:
        assert [row.key for row in case_reasons(project)] == list(Reason.values)
        assert not CaseReason.objects.exists()
        write_standard_reasons(project=project)
        write_standard_reasons(project=project)
        assert CaseReason.objects.count() == 7

    def test_an_own_reason_gives_its_severity_to_the_case(self, project, alice) -> None:
        reason = add_reason(project=project, label="Wrong dosage", severity=3, by=alice)
        assert (reason.key, reason_choices(project)[-1]) == ("wrong_dosage", ("wrong_dosage", "Wrong dosage"))
        assert report(project, "wrong_dosage").severity == 3
        assert Transition.objects.of(reason).get().after == "Wrong dosage"

    def test_a_name_in_chinese_gets_a_key_too(self, project, alice) -> None:
        first = add_reason(project=project, label="剂量错误", severity=3, by=alice)
        second = add_reason(project=project, label="语气", severity=1, by=alice)
        assert first.key != second.key
        assert str(first) == "剂量错误"

    def test_a_reason_that_is_off_is_offered_no_more_and_keeps_its_reports(self, project, alice) -> None:
        reason = add_reason(project=project, label="Too long", severity=1, by=alice)
        report(project, "too_long")
        change_reason(reason=reason, label="Too wordy", severity=2, is_active=False, by=alice)
        project.refresh_from_db()
        assert "too_long" not in dict(reason_choices(project))
        with pytest.raises(BadReason):
            report(project, "too_long")
        style = CaseReason.objects.get(key="style")
        change_reason(reason=style, label="Style", severity=1, is_active=False, by=alice)
        assert report(Project.objects.get(), "style").n_reports == 2  # programs may go on sending a standard one

    def test_what_makes_no_sense_is_refused(self, project, alice) -> None:
        reason = add_reason(project=project, label="Too long", severity=1, by=alice)
        for label in (" ", "style"):
            with pytest.raises(BadReason):
                add_reason(project=project, label=label, severity=1, by=alice)
        CaseReason.objects.exclude(pk=reason.pk).update(is_active=False)
        with pytest.raises(BadReason):
            change_reason(reason=reason, label="Too long", severity=1, is_active=False, by=alice)


class TestPages:
    def test_are_the_admins(self, project, sign_in, rita, charlie, client) -> None:
        change = reverse("labeling-reason-change", args=["kitchen", "style"])
        assert client.get(LIST).status_code == 302
        for page, method in ((LIST, "get"), (change, "post")):
            assert getattr(sign_in(charlie), method)(page).status_code == 404
            assert getattr(sign_in(rita), method)(page).status_code == 403
        assert client.put(LIST).status_code == 405
        assert client.get(change).status_code == 405

    def test_add_rename_and_switch_off(self, project, sign_in, alice) -> None:
        client = sign_in(alice)
        assert client.post(LIST, {"label": "", "severity": "1"}).status_code == 422
        assert client.post(LIST, {"label": "Wrong dosage", "severity": "3"})["Location"] == LIST
        bad = client.post(f"{LIST}style/", {"label": "Wrong dosage", "severity": "1", "is_active": "on"})
        assert bad.status_code == 422
        assert b"There is a reason of this name already." in bad.content
        client.post(f"{LIST}style/", {"label": "Tone", "severity": "2"})
        style = CaseReason.objects.get(key="style")
        assert (str(style), style.severity, style.is_active) == ("Tone", 2, False)
        assert client.post(f"{LIST}unknown/", {"label": "Tone"}).status_code == 404
        assert 'value="Wrong dosage"' in client.get(LIST).content.decode()
