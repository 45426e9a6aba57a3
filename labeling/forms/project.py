from django import forms
from django.utils.translation import gettext_lazy as _

from labeling.models import Project


class ProjectCreateForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = ["name", "slug", "description"]
        labels = {"slug": _("short name in addresses")}
        help_texts = {
            "slug": _("Small letters, digits and hyphens. It cannot be changed later."),
            "description": _("What this assistant is for, in a sentence or two."),
        }
        widgets = {"description": forms.Textarea(attrs={"rows": 3})}

    def clean_slug(self) -> str:
        return self.cleaned_data["slug"].lower()


class ProjectEditForm(forms.ModelForm):
    lease_minutes = forms.IntegerField(
        label=_("minutes a task is held"),
        min_value=5,
        max_value=24 * 60,
        help_text=_("So long a task stays with somebody who does not touch it. Drafts are kept longer."),
    )

    class Meta:
        model = Project
        fields = ["name", "description", "lease_minutes", "is_open_writing"]
        widgets = {"description": forms.Textarea(attrs={"rows": 3})}
