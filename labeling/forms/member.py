"""What an admin sets for a member: rate and languages."""

import re
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from labeling.models import Membership, Rate
from labeling.states import RateUnit

_CODE = re.compile(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")


class RateForm(forms.ModelForm):
    unit = forms.ChoiceField(label=_("paid"), choices=RateUnit.choices)

    class Meta:
        model = Rate
        fields = ["amount", "unit", "valid_from"]
        widgets = {
            "amount": forms.NumberInput(attrs={"class": "input--short", "step": "any", "min": "0"}),
            "valid_from": forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        }
        help_texts = {"valid_from": _("Days before keep their rate: what was earned stays as it was.")}


class LanguagesForm(forms.Form):
    languages = forms.CharField(
        label=_("languages"),
        required=False,
        max_length=200,
        help_text=_("Codes with commas between them, as in: en, zh, pt-BR."),
    )

    def __init__(self, *args: Any, membership: Membership, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["languages"].initial = ", ".join(membership.languages)

    def clean_languages(self) -> list[str]:
        codes = [code.strip() for code in re.split(r"[,;，、\s]+", self.cleaned_data["languages"]) if code.strip()]
        wrong = next((code for code in codes if not _CODE.match(code)), None)
        if wrong:
            raise forms.ValidationError(_("“%(code)s” is no language code."), params={"code": wrong})
        return list(dict.fromkeys(codes))
