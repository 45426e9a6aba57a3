"""A new dataset version, and looking for rows in one."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from training.languages import language_name
from training.models import DatasetStatistics, DatasetVersion
from training.queries.rows import NOBODY, Criteria, authors_of
from training.states import RowKind, Split


class FreezeForm(forms.Form):
    """A note for a new dataset version."""

    note = forms.CharField(
        label=_("Note"),
        required=False,
        max_length=500,
        help_text=_("What is special about this version, for whoever looks at it later."),
    )


class RowsForm(forms.Form):
    """What somebody looks for among the rows of a version. What makes no sense narrows nothing."""

    q = forms.CharField(label=_("text"), required=False, max_length=200)
    split = forms.ChoiceField(label=_("split"), required=False)
    kind = forms.ChoiceField(label=_("kind"), required=False)
    person = forms.ChoiceField(label=_("person"), required=False)
    language = forms.ChoiceField(label=_("language"), required=False)
    retracted = forms.BooleanField(label=_("only retracted ones"), required=False)

    def __init__(self, data: Any = None, *, version: DatasetVersion) -> None:
        super().__init__(data)
        fields: dict[str, Any] = self.fields
        any_one = ("", _("any"))
        fields["split"].choices = [any_one, *Split.choices]
        fields["kind"].choices = [any_one, *RowKind.choices]
        people = [(str(user.pk), str(user)) for user in authors_of(version)]
        fields["person"].choices = [("", _("anybody")), *people, (NOBODY, _("Imported"))]
        statistics = DatasetStatistics.objects.filter(version=version).first()
        codes = [code for code, _n in statistics.data.get("languages", [])] if statistics else []
        names = sorted((code, language_name(code)) for code in codes if code)
        fields["language"].choices = [any_one, *names]
        if not names:
            del fields["language"]

    def criteria(self) -> Criteria:
        self.is_valid()
        data = self.cleaned_data
        return Criteria(
            words=data.get("q", "").strip(),
            split=data.get("split", ""),
            kind=data.get("kind", ""),
            person=data.get("person", ""),
            language=data.get("language", ""),
            is_retracted=bool(data.get("retracted")),
        )
