from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from labeling.actions.draft import Page
from labeling.models import Project
from labeling.states import Settlement, VoteChoice

MAX_BYTES = 10_000_000
MAX_PEOPLE = 9


class VoteForm(forms.Form):
    choice = forms.ChoiceField(
        choices=VoteChoice.choices, error_messages={"required": _("Say first which answer is better.")}
    )
    reason = forms.CharField(required=False, max_length=2000)

    def __init__(self, *args: Any, needs_reason: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].required = needs_reason
        self.fields["reason"].error_messages["required"] = _("Say why, in a sentence.")


class VoteDraftForm(forms.Form):
    """What is chosen and typed so far, and the open page that it comes from (see ConversationForm)."""

    choice = forms.ChoiceField(required=False, choices=VoteChoice.choices)
    reason = forms.CharField(required=False, max_length=2000, strip=False)
    revision = forms.IntegerField(min_value=0, required=False)
    overrule = forms.IntegerField(min_value=0, required=False)
    writer = forms.CharField(max_length=40, required=False)
    step = forms.IntegerField(min_value=0, required=False)

    def said(self) -> dict[str, Any]:
        """Return what a valid form holds, as the actions take it."""
        data = self.cleaned_data
        return {
            "choice": data["choice"],
            "reason": data["reason"].replace("\r\n", "\n"),
            "revision": data.get("overrule") or data.get("revision") or 0,
            "page": Page(writer=data["writer"], step=data["step"] or 0),
        }


class SkipForm(forms.Form):
    reason = forms.CharField(max_length=200)


class SecondReviewForm(forms.Form):
    is_accepted = forms.TypedChoiceField(choices=[("yes", ""), ("no", "")], coerce=lambda value: value == "yes")
    reason = forms.CharField(required=False, max_length=2000)


class SettlementForm(forms.Form):
    settlement = forms.TypedChoiceField(choices=Settlement.choices, coerce=Settlement)
    reason = forms.CharField(required=False, max_length=2000)


class ComparisonImportForm(forms.Form):
    """Comparisons as JSONL: typed in, or a file. `lines` holds them as text."""

    file = forms.FileField(label=_("file"), required=False, help_text=_("JSONL in UTF-8, at most 10 MB."))
    text = forms.CharField(
        label=_("or lines"),
        required=False,
        max_length=MAX_BYTES,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "class": "code", "spellcheck": "false"}),
        help_text=_(
            'One a line: {"prompt": "…", "answer_a": "…", "answer_b": "…"}, or "messages" instead of "prompt"; '
            '"origin_a" and "origin_b" may say who wrote them.'
        ),
    )
    n_people = forms.IntegerField(
        label=_("people for each comparison"),
        min_value=1,
        max_value=MAX_PEOPLE,
        help_text=_("So many people judge each; more than half of them decide."),
        widget=forms.NumberInput(attrs={"class": "input--short"}),
    )

    def clean_file(self) -> list[str] | None:
        upload: UploadedFile | None = self.cleaned_data["file"]
        if upload is None:
            return None
        if (upload.size or 0) > MAX_BYTES:
            raise forms.ValidationError(_("The file is larger than 10 MB. Split it."))
        try:
            return upload.read().decode().split("\n")
        except UnicodeDecodeError:
            raise forms.ValidationError(_("The file is not UTF-8 text.")) from None

    def clean(self) -> None:
        if self.errors:
            return
        self.lines = self.cleaned_data["file"] or self.cleaned_data["text"].split("\n")
        if not any(line.strip() for line in self.lines):
            raise forms.ValidationError(_("Choose a file or write at least one line."))


class JudgingForm(forms.ModelForm):
    """The part of a project's settings that is about comparisons and second reviews."""

    n_comparison_people = forms.IntegerField(
        label=_("people for each comparison"),
        min_value=1,
        max_value=MAX_PEOPLE,
        help_text=_(
            "For comparisons that are made from now on. More than half of the people decide; an odd number avoids ties."
        ),
        widget=forms.NumberInput(attrs={"class": "input--short"}),
    )
    second_review_share = forms.IntegerField(
        label=_("second reviews, in percent of what is decided"),
        min_value=0,
        max_value=100,
        help_text=_("Another reviewer judges these again without seeing the first verdict. 0 switches it off."),
        widget=forms.NumberInput(attrs={"class": "input--short"}),
    )

    class Meta:
        model = Project
        fields = ["n_comparison_people", "needs_comparison_reason", "second_review_share"]
