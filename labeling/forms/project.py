from django import forms
from django.utils.translation import gettext_lazy as _

from labeling.models import Project
from labeling.states import FindingKind


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
    checks_off = forms.MultipleChoiceField(
        label=_("checks to leave out"),
        choices=FindingKind.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("What is looked at when a text is handed in. Authors may override each check with a reason."),
    )

    max_held = forms.IntegerField(
        label=_("tasks that one person may hold at once"),
        min_value=1,
        max_value=20,
        required=False,
        help_text=_("With more than one, people may put a task aside and begin another."),
    )
    double_share = forms.IntegerField(
        label=_("percent of new prompts that go to two people"),
        min_value=0,
        max_value=100,
        required=False,
        help_text=_(
            "Two people answer them without seeing each other's text. Prompts that are there already stay as they are."
        ),
    )

    max_send_backs = forms.IntegerField(
        label=_("send-backs before an admin decides"),
        min_value=0,
        max_value=20,
        required=False,
        help_text=_("A text that a reviewer would send back once more goes to an admin instead."),
    )

    def clean_max_send_backs(self) -> int:
        limit = self.cleaned_data["max_send_backs"]
        return self.instance.max_send_backs if limit is None else limit

    def clean_max_held(self) -> int:
        return self.cleaned_data["max_held"] or self.instance.max_held

    def clean_double_share(self) -> int:
        share = self.cleaned_data["double_share"]
        return self.instance.double_share if share is None else share

    idle_minutes = forms.IntegerField(
        label=_("longest pause that counts as work, in minutes"),
        min_value=1,
        max_value=60,
        required=False,
        help_text=_(
            "Active time is summed up from signs of work; of a longer pause between two of them only this much counts."
        ),
    )

    def clean_idle_minutes(self) -> int:
        return self.cleaned_data["idle_minutes"] or self.instance.idle_minutes

    class Meta:
        model = Project
        fields = [
            *("name", "description", "lease_minutes", "is_open_writing", "max_held", "double_share"),
            *("currency", "idle_minutes", "max_send_backs", "checks_off"),
        ]
        widgets = {"description": forms.Textarea(attrs={"rows": 3})}
