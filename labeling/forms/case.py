from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from common.checks import Check
from labeling.actions.errors import BadCheck, BadConversation, BadProbe, LabelingError, UnchangedText
from labeling.states import CheckKind

FIELD_OF_ERROR: tuple[tuple[type[LabelingError], str], ...] = (
    (UnchangedText, "text"),
    (BadConversation, "text"),
    (BadCheck, "checks"),
    (BadProbe, "probes"),
)


class CheckRows(forms.HiddenInput):
    """Rows of a kind and a value: the inputs `check_kind` and `check_value`, as often as there are rows."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[dict[str, str]]:
        kinds, values = data.getlist("check_kind"), data.getlist("check_value")
        rows = [{"kind": kind, "value": value} for kind, value in zip(kinds, values, strict=False)]
        return [row for row in rows if row["value"].strip() or row["kind"] == CheckKind.JSON]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return False


class CorrectionForm(forms.Form):
    """What overwrites a wrong output. The rules themselves are those of `correct_case`; its errors come back to the fields."""

    text = forms.CharField(
        label=_("The right answer"), required=False, strip=False, widget=forms.Textarea(attrs={"rows": 8})
    )
    note = forms.CharField(
        label=_("What was wrong"),
        required=False,
        max_length=500,
        help_text=_("In a sentence, for those who read the case later."),
    )
    checks: Any = forms.Field(
        label=_("Checks"),
        required=False,
        widget=CheckRows,
        help_text=_("Rules that every right answer satisfies, in whatever words. None is fine."),
    )
    probes = forms.CharField(
        label=_("Probes"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_(
            "The same question in other words, one a line. They are tested and never trained on, "
            "so they show whether the model has learnt the thing or just the sentence."
        ),
    )
    revision = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)

    check_kinds = CheckKind.choices

    def content(self) -> dict[str, Any]:
        """Return what was typed, for the draft; call it after is_valid, whatever that said."""
        names = ("text", "note", "checks", "probes")
        return {name: self[name].value() or ("" if name != "checks" else []) for name in names}

    def probe_lines(self) -> list[str]:
        return [line.strip() for line in self.cleaned_data["probes"].splitlines() if line.strip()]

    def check_rows(self) -> list[Check]:
        return self.cleaned_data["checks"] or []

    def shown_rows(self) -> list[dict[str, Any]]:
        """Return the rows of checks to draw: those that were typed and an empty one."""
        return [*(self["checks"].value() or []), {"kind": "", "value": ""}]

    def blame(self, error: LabelingError) -> None:
        """Put an action's error to the field that it speaks of."""
        names = [name for kind, name in FIELD_OF_ERROR if isinstance(error, kind)]
        self.add_error(names[0] if names else None, str(error))


class DismissForm(forms.Form):
    reason = forms.CharField(
        label=_("Why it is fine"), required=False, max_length=500, widget=forms.Textarea(attrs={"rows": 2})
    )
