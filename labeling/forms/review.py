from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from common.conversations import Message
from labeling.actions.review import editable_from
from labeling.actions.thread import Passage
from labeling.models import Submission
from labeling.queries.review import Queue
from labeling.states import RejectReason, Verdict

MAX_PASSAGES = 50


class DecisionForm(forms.Form):
    """A verdict on one submission. The turns that may be edited are the fields `turn-<index>`; passages come as rows of
    `passage_text`, `passage_turn`, `passage_quote` and `passage_start`.

    `draft` is what the person had typed before, by verdict: each of the page's forms starts with its own part.
    """

    verdict = forms.ChoiceField(choices=Verdict.choices, widget=forms.HiddenInput)
    comment = forms.CharField(label=_("Comment"), required=False, widget=forms.Textarea(attrs={"rows": 4}))
    reason = forms.ChoiceField(
        label=_("Reason"), required=False, choices=[("", "–"), *RejectReason.choices], initial=RejectReason.OTHER
    )
    revision = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, submission: Submission, draft: dict[str, Any] | None = None) -> None:
        super().__init__(data)
        self.submission = submission
        self.first_turn = editable_from(submission)
        self.draft = draft or {}
        kept = self.draft.get(Verdict.EDIT, {}).get("messages") or submission.messages
        for index, message in enumerate(submission.messages):
            if index >= self.first_turn:
                start = kept[index]["content"] if index < len(kept) else message["content"]
                self.fields[f"turn-{index}"] = forms.CharField(
                    label=ROLE_LABELS[message["role"]],
                    required=False,
                    strip=False,
                    initial=start,
                    widget=forms.Textarea(attrs={"rows": 3, "dir": "auto"}),
                )

    def turns(self) -> list[forms.BoundField]:
        return [field for field in self if field.name.startswith("turn-")]

    def edited(self) -> list[Message]:
        """Return the conversation with what was typed; a turn that was not sent stays as it is."""
        return [
            {
                "role": message["role"],
                "content": self.data.get(f"turn-{index}", message["content"]).replace("\r\n", "\n"),
            }
            if index >= self.first_turn
            else message
            for index, message in enumerate(self.submission.messages)
        ]

    def passages(self) -> list[Passage]:
        """Return what is said about passages, without the rows in which nothing is said."""
        return [passage for passage in self._rows() if passage.text.strip()]

    def _rows(self) -> list[Passage]:
        columns = [self._column(name) for name in ("text", "turn", "quote", "start")]
        rows = list(zip(*columns, strict=False))[:MAX_PASSAGES]
        return [
            Passage(text, _number(turn), quote.replace("\r\n", "\n"), _number(start))
            for text, turn, quote, start in rows
        ]

    def _column(self, name: str) -> list[str]:
        return self.data.getlist(f"passage_{name}") if hasattr(self.data, "getlist") else []

    def content(self) -> dict[str, Any]:
        """Return what was typed, for the draft of this verdict."""
        content: dict[str, Any] = {"comment": self.data.get("comment", "")}
        verdict = self.data.get("verdict")
        if verdict == Verdict.EDIT:
            content["messages"] = self.edited()
        elif verdict == Verdict.REJECT:
            content["reason"] = self.data.get("reason", "")
        elif verdict == Verdict.SEND_BACK:
            content["passages"] = [vars(row) for row in self._rows()]
        return content

    def shown(self) -> dict[str, dict[str, Any]]:
        """Return what each verdict's form shows: what was just sent, else the draft."""
        shown: dict[str, dict[str, Any]] = {str(verdict): dict(self.draft.get(verdict, {})) for verdict in Verdict}
        if self.is_bound and self.data.get("verdict") in shown:
            shown[self.data["verdict"]] = self.content()
        return shown


class QueueForm(forms.Form):
    """The filter of the workplace, from the address. What makes no sense there is left out."""

    tab = forms.ChoiceField(choices=[(name, name) for name in ("waiting", "answers", "escalated", "decided", "cases")])
    who = forms.IntegerField(min_value=1)
    again = forms.BooleanField(required=False)
    mine = forms.BooleanField(required=False)

    def queue(self) -> Queue:
        self.is_valid()
        data = self.cleaned_data
        return Queue(data.get("tab", "waiting"), data.get("who"), data.get("again", False), data.get("mine", False))


def _number(value: str) -> int | None:
    return int(value) if value.isdecimal() and len(value) < 10 else None


ROLE_LABELS = {"system": _("System message"), "user": _("User"), "assistant": _("Assistant")}
