from typing import Any
from urllib.parse import urlencode

from django import forms
from django.utils.translation import gettext_lazy as _

from common.checks import Check
from labeling.actions.errors import (
    BadCheck,
    BadConversation,
    BadProbe,
    LabelingError,
    UnchangedText,
    UneditedDraft,
)
from labeling.models import Project, User
from labeling.queries.case import case_reasons, case_workers
from labeling.states import CheckKind, Severity

FIELD_OF_ERROR: tuple[tuple[type[LabelingError], str], ...] = (
    (UnchangedText, "text"),
    (BadConversation, "text"),
    (BadCheck, "checks"),
    (BadProbe, "probes"),
    (UneditedDraft, "is_confirmed"),
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
    seen = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)
    machine_draft = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)
    is_confirmed = forms.BooleanField(
        label=_("I have read the machine's draft, and it is right as it is"), required=False
    )

    check_kinds = CheckKind.choices

    def content(self) -> dict[str, Any]:
        """Return what was typed, for the draft; call it after is_valid, whatever that said."""
        names = ("text", "note", "checks", "probes")
        typed = {name: self[name].value() or ("" if name != "checks" else []) for name in names}
        machine_draft = self["machine_draft"].value()
        return typed | {"machine_draft": machine_draft} if machine_draft else typed

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


class CaseFilterForm(forms.Form):
    """How the list of cases is narrowed and sorted. What makes no sense narrows nothing."""

    SORTS = (
        ("", _("usual order")),
        ("harm", _("most harmful first")),
        ("reports", _("most reported first")),
        ("asked", _("most asked first")),
        ("assignee", _("by assigned person")),
        ("oldest", _("oldest first")),
        ("newest", _("newest first")),
    )

    q = forms.CharField(label=_("Text"), required=False)
    reason = forms.ChoiceField(label=_("Reason"), required=False)
    severity = forms.ChoiceField(label=_("Harm"), required=False, choices=[("", _("any")), *Severity.choices])
    model = forms.CharField(label=_("Model"), required=False, max_length=200)
    person = forms.ChoiceField(label=_("Person"), required=False)
    mine = forms.BooleanField(label=_("Mine"), required=False)
    sort = forms.ChoiceField(label=_("Order"), required=False, choices=SORTS)

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        reasons = [(row.key, str(row)) for row in case_reasons(project)]
        self.fields["reason"].choices = [("", _("any")), *reasons]  # type: ignore[attr-defined]
        people = [("", _("anybody")), *((person.pk, str(person)) for person in case_workers(project))]
        self.fields["person"].choices = people  # type: ignore[attr-defined]

    def chosen(self) -> dict[str, Any]:
        self.is_valid()
        return self.cleaned_data

    def is_filtered(self) -> bool:
        return any(value for name, value in self.chosen().items() if name != "sort")

    def query(self) -> str:
        """Return the choices as the tail of an address, "" or "&q=...", for links that change the tab."""
        pairs = {name: "on" if value is True else value for name, value in self.chosen().items() if value}
        return f"&{urlencode(pairs)}" if pairs else ""


class SeverityForm(forms.Form):
    severity = forms.TypedChoiceField(choices=Severity.choices, coerce=int)


class AssignForm(forms.Form):
    """`assignee` is the key of a person who corrects cases, empty for nobody."""

    assignee = forms.TypedChoiceField(coerce=int, required=False, empty_value=None)

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.people = {person.pk: person for person in case_workers(project)}
        self.fields["assignee"].choices = list(self.people.items())  # type: ignore[attr-defined]

    def person(self) -> User | None:
        return self.people.get(self.cleaned_data["assignee"])


class MergeForm(forms.Form):
    """`into` is the number of the case that is to stay."""

    into = forms.IntegerField(min_value=1)


class ReasonForm(forms.Form):
    label = forms.CharField(label=_("Name"), max_length=60)
    severity = forms.TypedChoiceField(
        label=_("Harm"), choices=Severity.choices, coerce=int, initial=Severity.MINOR.value
    )


class ReasonChangeForm(ReasonForm):
    is_active = forms.BooleanField(label=_("Can be chosen"), required=False)


class DismissForm(forms.Form):
    reason = forms.CharField(
        label=_("Why it is fine"), required=False, max_length=500, widget=forms.Textarea(attrs={"rows": 2})
    )
