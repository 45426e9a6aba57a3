from django import forms
from django.utils.translation import gettext_lazy as _


class InstructionsForm(forms.Form):
    """The next version. `based_on` is the number of the version that the author saw, 0 for none."""

    text = forms.CharField(
        label=_("instructions"),
        max_length=100_000,
        help_text=_("Markdown: # heading, - list, **bold**, tables. HTML is shown as text."),
        widget=forms.Textarea(attrs={"rows": 20}),
    )
    change_note = forms.CharField(
        label=_("what changed"),
        max_length=500,
        required=False,
        help_text=_("Everybody reads this before their next task."),
    )
    based_on = forms.IntegerField(min_value=0, widget=forms.HiddenInput)

    def clean(self) -> None:
        if self.cleaned_data.get("based_on") and not self.cleaned_data.get("change_note"):
            self.add_error("change_note", _("Say in a sentence what changed."))
