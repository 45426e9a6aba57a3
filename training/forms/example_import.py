"""Files of finished conversations."""

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from labeling.actions.import_work import MAX_BYTES
from labeling.forms.prompt_import import TagsField
from training.formats import FORMATS


class ExampleUploadForm(forms.Form):
    file = forms.FileField(
        label=_("file"),
        allow_empty_file=True,  # the action says it in words of its own
        max_length=200,
        help_text=_("JSONL, JSON, CSV, Parquet, or a zip of them; at most 200 MB."),
        widget=forms.FileInput(attrs={"accept": ".jsonl,.ndjson,.json,.csv,.tsv,.parquet,.zip"}),
    )
    asked_format = forms.ChoiceField(
        label=_("format"),
        required=False,
        choices=lambda: [
            ("", _("Recognise it")),
            *((each.key, each.name) for each in FORMATS if not each.is_made_ahead),
        ],
    )
    tags = TagsField(
        label=_("tags for all of them"),
        required=False,
        initial="imported",
        help_text=_("With commas between them. A dataset version can be made of what has a tag."),
    )
    skips_near = forms.BooleanField(
        label=_("Leave out what is nearly the same as another example"), required=False, initial=True
    )

    def clean_file(self) -> UploadedFile:
        file: UploadedFile = self.cleaned_data["file"]
        if (file.size or 0) > MAX_BYTES:
            raise forms.ValidationError(_("The file is larger than %(n)d MB. Split it.") % {"n": MAX_BYTES // 1024**2})
        return file


class ExampleImportChangeForm(forms.Form):
    change = forms.ChoiceField(choices=[(name, name) for name in ("start", "cancel", "undo", "read")])
    encoding = forms.CharField(required=False, max_length=20, empty_value="utf-8")
