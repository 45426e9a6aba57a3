from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from common.conversations import Message
from labeling.actions.review import editable_from
from labeling.models import Submission
from labeling.states import Verdict


class DecisionForm(forms.Form):
    """A verdict on one submission. The turns that may be edited are the fields `turn-<index>`."""

    verdict = forms.ChoiceField(choices=Verdict.choices, widget=forms.HiddenInput)
    comment = forms.CharField(label=_("Comment"), required=False, widget=forms.Textarea(attrs={"rows": 4}))

    def __init__(self, data: Any = None, *, submission: Submission) -> None:
        super().__init__(data)
        self.submission = submission
        self.first_turn = editable_from(submission)
        for index, message in enumerate(submission.messages):
            if index >= self.first_turn:
                self.fields[f"turn-{index}"] = forms.CharField(
                    label=ROLE_LABELS[message["role"]],
                    required=False,
                    strip=False,
                    initial=message["content"],
                    widget=forms.Textarea(attrs={"rows": 3}),
                )

    def turns(self) -> list[forms.BoundField]:
        return [field for field in self if field.name.startswith("turn-")]

    def edited(self) -> list[Message]:
        """Return the conversation with what was typed; a turn that was not sent stays as it is."""
        return [
            {"role": message["role"], "content": self.data.get(f"turn-{index}", message["content"])}
            if index >= self.first_turn
            else message
            for index, message in enumerate(self.submission.messages)
        ]


ROLE_LABELS = {"system": _("System message"), "user": _("User"), "assistant": _("Assistant")}
