from typing import Any

from django import forms
from django.conf.locale import LANG_INFO
from django.utils.translation import get_language_info
from django.utils.translation import gettext_lazy as _

from labeling.models import InstructionVersion

PARTS = ("prompt", "good", "bad", "why")


def languages() -> list[tuple[str, Any]]:
    """Return the languages a response may have to be in, by their name in the reader's language."""
    codes = [code for code in LANG_INFO if "-" not in code]
    named = [(code, get_language_info(code)["name_translated"]) for code in codes] + [("zh", _("Chinese"))]
    return [("", _("any")), *sorted(named, key=lambda pair: str(pair[1]))]


class IllustrationRows(forms.HiddenInput):
    """Rows of a prompt, a good and a bad answer and the reason: four inputs, as often as there are rows."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[dict[str, str]]:
        columns = [data.getlist(f"illustration_{part}") for part in PARTS]
        rows = [dict(zip(PARTS, texts, strict=True)) for texts in zip(*columns, strict=False)]
        return [row for row in rows if any(text.strip() for text in row.values())]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return False


class InstructionsForm(forms.Form):
    """The next version. `based_on` is the number of the version that the author saw, 0 for none."""

    text = forms.CharField(
        label=_("instructions"),
        max_length=100_000,
        help_text=_(
            "Markdown: # heading, - list, **bold**, tables. HTML is shown as text. Each heading begins a section."
        ),
        widget=forms.Textarea(attrs={"rows": 20, "dir": "auto"}),
    )
    illustrations: Any = forms.Field(
        label=_("Good and bad examples"),
        required=False,
        widget=IllustrationRows,
        help_text=_("A prompt with a good and a bad answer, shown side by side. Leave empty what you do not need."),
    )
    min_words = forms.IntegerField(
        label=_("fewest words of a response"), required=False, min_value=1, max_value=100_000
    )
    max_words = forms.IntegerField(label=_("most words of a response"), required=False, min_value=1, max_value=100_000)
    language = forms.ChoiceField(label=_("language of a response"), required=False, choices=languages)
    change_note = forms.CharField(
        label=_("what changed"),
        max_length=500,
        required=False,
        help_text=_("Everybody reads this before their next task."),
    )
    based_on = forms.IntegerField(min_value=0, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("min_words", "max_words"):
            self.fields[name].widget.attrs["class"] = "input--short"

    @staticmethod
    def initial_from(version: InstructionVersion | None) -> dict[str, Any]:
        """Return what the form begins with: the version in force."""
        if version is None:
            return {"based_on": 0}
        fields = {name: getattr(version, name) for name in ("text", "min_words", "max_words", "language")}
        return {**fields, "illustrations": list(version.illustrations.values(*PARTS)), "based_on": version.number}

    def shown_rows(self) -> list[dict[str, str]]:
        """Return the rows of examples to draw: those that are there and an empty one."""
        return [*(self["illustrations"].value() or []), dict.fromkeys(PARTS, "")]

    def clean_illustrations(self) -> list[dict[str, str]]:
        rows = self.cleaned_data["illustrations"] or []
        if len(rows) > 50 or any(len(text) > 20_000 for row in rows for text in row.values()):
            raise forms.ValidationError(_("At most 50 examples with 20,000 characters in a field."))
        return rows

    def clean(self) -> None:
        if self.cleaned_data.get("based_on") and not self.cleaned_data.get("change_note"):
            self.add_error("change_note", _("Say in a sentence what changed."))
