from django import forms
from django.utils.translation import gettext_lazy as _

from labeling.states import SkipReason


class SkipForm(forms.Form):
    reason = forms.ChoiceField(label=_("why"), choices=SkipReason.choices, widget=forms.RadioSelect)
    comment = forms.CharField(
        label=_("in your words"),
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Needed for “Something else”. Admins read it when three people skipped the task."),
    )
