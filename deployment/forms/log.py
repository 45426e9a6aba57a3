"""What is shown of the log of answers, and how long it is kept."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from deployment.models import LogSettings
from deployment.models.traffic import CompletionQuerySet
from deployment.queries import log_matching


class LogFilterForm(forms.Form):
    RATINGS = [("", _("any")), ("1", _("thumbs up")), ("-1", _("thumbs down")), ("0", _("none"))]

    q = forms.CharField(label=_("Text"), required=False)
    model = forms.ChoiceField(label=_("Model"), required=False)
    rating = forms.ChoiceField(label=_("Rating"), required=False, choices=RATINGS)
    thread = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, rows: CompletionQuerySet, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rows = rows
        names = rows.order_by("model_name").values_list("model_name", flat=True).distinct()
        self.fields["model"].choices = [("", _("any")), *((name, name) for name in names)]  # type: ignore[attr-defined]

    def chosen(self) -> CompletionQuerySet:
        """Return the answers that were asked for; none where the question makes no sense, as with a model that is not there."""
        rows = self.rows
        if not self.is_valid():
            return rows.none()
        data = self.cleaned_data
        if data.get("model"):
            rows = rows.filter(model_name=data["model"])
        if data.get("rating"):
            rows = rows.filter(rating=int(data["rating"]))
        if data.get("thread"):
            rows = rows.filter(thread=data["thread"])
        return log_matching(rows, data["q"]) if data.get("q") else rows


class LogSettingsForm(forms.ModelForm):
    class Meta:
        model = LogSettings
        fields = ["retention_days", "kept_percent", "redacts"]
        widgets = {
            name: forms.NumberInput(attrs={"class": "input--short"}) for name in ("retention_days", "kept_percent")
        }
