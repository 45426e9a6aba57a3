"""A new API key."""

from django import forms
from django.utils.translation import gettext_lazy as _

from labeling.states import Scope


class ApiKeyForm(forms.Form):
    name = forms.CharField(label=_("name"), max_length=80, help_text=_("The product that will use it, for example."))
    scopes = forms.MultipleChoiceField(
        label=_("what it may do"),
        choices=Scope.choices,
        initial=Scope.values,
        widget=forms.CheckboxSelectMultiple,
    )
    days = forms.TypedChoiceField(
        label=_("works for"),
        choices=[("", _("as long as it is not revoked")), (30, _("30 days")), (90, _("90 days")), (365, _("a year"))],
        coerce=int,
        empty_value=None,
        required=False,
    )
