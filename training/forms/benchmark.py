"""A result file of a public benchmark, and the model that was asked."""

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from labeling.models import Project
from training.benchmark_files import MOST_BYTES
from training.models import BaseModel, TunedModel


class BenchmarkForm(forms.Form):
    file = forms.FileField(
        label=_("file"),
        help_text=_("results_….json of lm-evaluation-harness, or a log of Inspect (.eval or .json); at most 50 MB."),
    )
    model = forms.ChoiceField(
        label=_("Model"),
        required=False,
        help_text=_("Needed where the run asked for “assistant”, which is now this model and now that."),
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [*TunedModel.objects.filter(project=project).values_list("name", flat=True)]
        names += BaseModel.objects.order_by("slug").values_list("slug", flat=True)
        self.fields["model"].choices = [("", _("As the file says")), *((name, name) for name in names)]  # type: ignore[attr-defined]

    def clean_file(self) -> bytes:
        upload: UploadedFile = self.cleaned_data["file"]
        if (upload.size or 0) > MOST_BYTES:
            raise forms.ValidationError(_("The file is larger than 50 MB."))
        return upload.read()
