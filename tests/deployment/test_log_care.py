"""What becomes of the log: personal data, texts of a share, old answers."""

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from common.models import Transition
from deployment.actions import log_care
from deployment.actions.log_care import care_for_logs, change_log_settings, redact
from deployment.models import Completion, Conversation, LogSettings, ShadowAnswer
from deployment.states import CompletionState
from tests.factories import CaseFactory
from tests.streams import download

pytestmark = pytest.mark.django_db
SAID = "Write to ada.king@gmail.com or call +44 20 7946 0018, said Ada."


def an_answer(project, key: str, *, hours: float = 2, **fields) -> Completion:
    row = Completion.objects.create(
        **{
            "key": f"chatcmpl-{key}",
            "project": project,
            "thread": f"thread-{key}",
            "model_name": "assistant",
            "messages": [{"role": "user", "content": SAID}],
            "response": f"Certainly: {SAID}",
            "state": CompletionState.DONE,
            "is_examined": True,
            **fields,
        }
    )
    Completion.objects.filter(pk=row.pk).update(created_at=timezone.now() - timedelta(hours=hours))
    return row


def texts() -> dict[str, str]:
    return dict(Completion.objects.values_list("key", "response"))


def test_nothing_happens_without_settings(project) -> None:
    an_answer(project, "old", hours=24 * 900)
    assert care_for_logs() == 0
    assert Completion.objects.get().response.endswith("said Ada.")


def test_personal_data_is_taken_out_after_a_while(project, alice) -> None:
    an_answer(project, "old")
    an_answer(project, "fresh", hours=0.1)
    an_answer(project, "unseen", is_examined=False)
    change_log_settings(project=project, by=alice, redacts=True)
    assert care_for_logs() == 1
    old = Completion.objects.get(key="chatcmpl-old")
    assert old.response == "Certainly: Write to [mail] or call [phone], said Ada."
    assert old.messages[0]["content"] == "Write to [mail] or call [phone], said Ada."
    assert texts()["chatcmpl-fresh"] == texts()["chatcmpl-unseen"] == f"Certainly: {SAID}"
    assert care_for_logs() == 0, "once is enough"
    assert Transition.objects.filter(what="log: redacts", before="False", after="True", by_pk=alice.pk).exists()


def test_what_repeats_the_words_is_redacted_too(project, bob, deployment, tuned_model) -> None:
    chat = Conversation.objects.create(project=project, user=bob, title="Write to ada.king@gmail.com")
    row = an_answer(project, "chat", conversation=chat)
    copy = ShadowAnswer.objects.create(
        project=project, deployment=deployment, completion=row, tuned_model=tuned_model, response=SAID
    )
    change_log_settings(project=project, redacts=True)
    care_for_logs()
    chat.refresh_from_db()
    copy.refresh_from_db()
    assert (chat.title, "gmail" in copy.response) == ("Write to [mail]", False)


def test_what_is_reported_or_set_meanwhile_counts(project, monkeypatch) -> None:
    row = an_answer(project, "late")
    change_log_settings(project=project, redacts=True, kept_percent=0)
    looked = log_care._without_personal

    def slowly(found):
        Completion.objects.filter(pk=row.pk).update(rating=-1)
        return looked(found)

    monkeypatch.setattr(log_care, "_without_personal", slowly)
    care_for_logs()
    assert Completion.objects.get().response == "Certainly: Write to [mail] or call [phone], said Ada."

    other = an_answer(project, "other")

    def changed(found):
        LogSettings.objects.update(redacts=False)
        return looked(found)

    monkeypatch.setattr(log_care, "_without_personal", changed)
    care_for_logs()
    other.refresh_from_db()
    assert (other.is_tended, other.response) == (False, f"Certainly: {SAID}")


def test_one_number_in_another_is_taken_out_whole() -> None:
    assert redact("ann@mail.org and joann@mail.org") == "[mail] and [mail]"


def test_a_share_keeps_its_texts_by_conversation(project, bob) -> None:
    for number in range(60):
        an_answer(project, f"{number}a", thread=f"thread {number}")
        an_answer(project, f"{number}b", thread=f"thread {number}")
    chat = Conversation.objects.create(project=project, user=bob, title="Mine")
    kept = [
        an_answer(project, "chat", conversation=chat),
        an_answer(project, "rated", rating=-1),
        an_answer(project, "case", case=CaseFactory(project=project)),
        an_answer(project, "stored", is_stored=True),
    ]
    change_log_settings(project=project, kept_percent=25)
    care_for_logs()
    left = {key for key, text in texts().items() if text}
    assert {row.key for row in kept} <= left
    turns = {key.removeprefix("chatcmpl-")[:-1]: key for key in left if key[-1] in "ab"}
    assert 5 <= len(turns) <= 27, "a quarter of sixty"
    assert all({f"chatcmpl-{number}a", f"chatcmpl-{number}b"} <= left for number in turns)
    assert Completion.objects.filter(response="", model_name="assistant", messages=[]).count() == 124 - len(left)


def test_old_answers_go_and_evidence_stays(project, bob) -> None:
    chat = Conversation.objects.create(project=project, user=bob, title="Old")
    Conversation.objects.filter(pk=chat.pk).update(updated_at=timezone.now() - timedelta(days=40))
    an_answer(project, "old", hours=24 * 31, conversation=chat)
    an_answer(project, "case", hours=24 * 31, case=CaseFactory(project=project))
    an_answer(project, "young", hours=24 * 29)
    change_log_settings(project=project, retention_days=30)
    assert care_for_logs() == 1
    assert set(texts()) == {"chatcmpl-case", "chatcmpl-young"}
    assert not Conversation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_log_is_downloaded_as_it_is_filtered(project, rita) -> None:
    an_answer(project, "one", rating=-1)
    an_answer(project, "two", response='=HYPERLINK("x")')
    address = reverse("deployment-log-export", args=[project.slug])
    rows = [json.loads(line) for line in download(rita, address, name="kitchen-answers-").splitlines()]
    assert [row["key"] for row in rows] == ["chatcmpl-one", "chatcmpl-two"]
    assert rows[0]["messages"] == [{"role": "user", "content": SAID}]
    assert "'=HYPERLINK" in download(rita, f"{address}?format=csv"), "no spreadsheet runs it"
    assert len(download(rita, f"{address}?rating=-1").splitlines()) == 1
    assert len(download(rita, f"{address}?thread=thread-two").splitlines()) == 1
    assert download(rita, f"{address}?model=nobody") == ""
    change_log_settings(project=project, redacts=True)
    assert "gmail" not in download(rita, address), "what is not treated yet leaves without personal data as well"


def test_an_admin_says_how_long_answers_are_kept(project, alice, sign_in) -> None:
    client, address = sign_in(alice), reverse("deployment-log-edit", args=[project.slug])
    assert client.post(address, {"retention_days": "0", "kept_percent": "100"}).status_code == 422
    assert client.post(address, {"retention_days": "", "kept_percent": "50", "redacts": "on"}).status_code == 302
    settings = LogSettings.objects.get()
    assert (settings.retention_days, settings.kept_percent, settings.redacts) == (None, 50, True)
