from django import forms
from django.utils.translation import gettext_lazy as _

from labeling.states import WebhookEvent


class WebhookForm(forms.Form):
    url = forms.URLField(
        label=_("address"),
        max_length=500,
        assume_scheme="https",
        help_text=_(
            "It gets a POST with JSON, signed. It has to answer within ten seconds with a status of 200 to 299."
        ),
    )
    events = forms.MultipleChoiceField(
        label=_("what it is told"),
        choices=WebhookEvent.choices,
        initial=WebhookEvent.values,
        widget=forms.CheckboxSelectMultiple,
    )


class WebhookEditForm(WebhookForm):
    is_active = forms.BooleanField(label=_("send messages"), required=False)
