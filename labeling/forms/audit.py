from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from labeling.audit_words import thing_changed
from labeling.models import Project, User
from labeling.queries.audit import STATE, SUBJECTS, SYSTEM, Query, things_changed


class AuditForm(forms.Form):
    """The filters of the audit log; a value that makes no sense is left out."""

    person = forms.ChoiceField(label=_("by"), required=False)
    kind = forms.ChoiceField(label=_("about"), required=False)
    what = forms.ChoiceField(label=_("what changed"), required=False)
    since = forms.DateField(label=_("from"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("to"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    q = forms.CharField(label=_("words of the reason"), required=False, max_length=100)

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = User.objects.filter(memberships__project=project).order_by("name", "email")
        fields: dict[str, Any] = self.fields
        fields["person"].choices = [
            ("", _("anybody")),
            *((str(user.pk), str(user)) for user in people),
            (SYSTEM, _("Emend itself")),
        ]
        fields["kind"].choices = [("", _("anything")), *((kind, label) for kind, (label, *_rest) in SUBJECTS.items())]
        fields["what"].choices = [
            ("", _("anything")),
            (STATE, _("state")),
            *((name, thing_changed(name)) for name in things_changed(project)),
        ]

    def query(self) -> Query:
        self.is_valid()
        data = self.cleaned_data
        return Query(
            person=data.get("person", ""),
            kind=data.get("kind", ""),
            what=data.get("what", ""),
            since=data.get("since"),
            until=data.get("until"),
            words=data.get("q", "").strip(),
        )
