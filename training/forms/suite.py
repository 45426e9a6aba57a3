"""What a project measures its models by besides cases: suites of its own, and blind comparisons."""

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

MAX_BYTES = 5_000_000


class SuiteForm(forms.Form):
    """`lines` holds the rows as text."""

    name = forms.CharField(label=_("name"), max_length=80)
    file = forms.FileField(label=_("file"), required=False, help_text=_("JSONL in UTF-8, at most 5 MB."))
    text = forms.CharField(
        label=_("or lines"),
        required=False,
        max_length=MAX_BYTES,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6, "class": "code", "spellcheck": "false"}),
        help_text=_(
            'One a line: {"prompt": "…", "ideal_response": "…", "bad_response": "…", "checks": [{"kind": "contains", '
            '"value": "…"}]}, or "messages" instead of "prompt". The ideal response or a check is needed.'
        ),
    )

    def clean_file(self) -> list[str] | None:
        upload: UploadedFile | None = self.cleaned_data["file"]
        if upload is None:
            return None
        if (upload.size or 0) > MAX_BYTES:
            raise forms.ValidationError(_("The file is larger than 5 MB. Split it."))
        try:
            return upload.read().decode("utf-8-sig").split("\n")
        except UnicodeDecodeError:
            raise forms.ValidationError(_("The file is not UTF-8 text.")) from None

    @property
    def lines(self) -> list[str]:
        return self.cleaned_data["file"] or self.cleaned_data["text"].split("\n")


class BlindForm(forms.Form):
    n = forms.IntegerField(min_value=1, max_value=500)
