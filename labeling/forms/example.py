from django import forms
from django.utils.translation import gettext_lazy as _


class RetractForm(forms.Form):
    reason = forms.CharField(label=_("Why it is taken out"), max_length=500)
