from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from labeling.actions.import_work import MAX_BYTES
from labeling.models import Tag


class TagsField(forms.CharField):
    """Names of tags, with commas between them, as a list."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=400, **kwargs)

    def clean(self, value: Any) -> list[str]:
        text = super().clean(value).replace("，", ",")
        names = [name for part in text.split(",") if (name := " ".join(part.split()))]
        if any(len(name) > (Tag._meta.get_field("name").max_length or 0) for name in names):
            raise forms.ValidationError(_("A tag has at most 40 characters."))
        return list(dict.fromkeys(names))


class UploadForm(forms.Form):
    file = forms.FileField(
        label=_("file"),
        allow_empty_file=True,  # the action says it in words of its own
        max_length=200,
        help_text=_("CSV with a column prompt or messages, or JSONL; at most 200 MB."),
        widget=forms.FileInput(attrs={"accept": ".csv,.tsv,.txt,.jsonl,.ndjson"}),
    )
    tags = TagsField(label=_("tags for all of them"), required=False, help_text=_("With commas between them."))

    def clean_file(self) -> UploadedFile:
        file: UploadedFile = self.cleaned_data["file"]
        if (file.size or 0) > MAX_BYTES:
            raise forms.ValidationError(_("The file is larger than %(n)d MB. Split it.") % {"n": MAX_BYTES // 1024**2})
        return file


class ImportChangeForm(forms.Form):
    change = forms.ChoiceField(choices=[(name, name) for name in ("start", "cancel", "undo", "read")])
    encoding = forms.CharField(required=False, max_length=20)
