from typing import Any
from urllib.parse import urlencode

from django import forms
from django.utils.translation import gettext_lazy as _

from labeling.models import Project, User
from labeling.queries.search import MODELS, TAGS, Criteria
from labeling.states import CaseState, ExampleKind, SubmissionState, TaskState

STATES: dict[str, list[Any]] = {
    "tasks": TaskState.choices,
    "submissions": SubmissionState.choices,
    "cases": CaseState.choices,
    "examples": [*ExampleKind.choices, ("retracted", _("Retracted"))],
}


def _date(label: Any) -> forms.DateField:
    return forms.DateField(label=label, required=False, widget=forms.DateInput(attrs={"type": "date"}))


class SearchForm(forms.Form):
    """What somebody looks for among the rows of one kind. What makes no sense narrows nothing.

    `without` names the filters that the page has in another shape, such as its tabs.
    """

    q = forms.CharField(label=_("text"), required=False, max_length=200)
    state = forms.ChoiceField(label=_("state"), required=False)
    person = forms.ChoiceField(label=_("person"), required=False)
    tag = forms.ChoiceField(label=_("tag"), required=False)
    version = forms.ChoiceField(label=_("instructions"), required=False)
    model = forms.CharField(label=_("model"), required=False, max_length=200)
    since = _date(_("from"))
    until = _date(_("to"))

    def __init__(self, *args: Any, project: Project, kind: str, without: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = User.objects.filter(memberships__project=project).order_by("name", "email")
        numbers = project.instruction_versions.order_by("-number").values_list("number", flat=True)
        names = project.tags.values_list("name", flat=True)
        fields: dict[str, Any] = self.fields
        fields["state"].choices = [("", _("any")), *STATES[kind]]
        fields["person"].choices = [("", _("anybody")), *((str(user.pk), str(user)) for user in people)]
        fields["tag"].choices = [("", _("any")), *((name, name) for name in names)]
        fields["version"].choices = [("", _("any")), *((str(number), f"v{number}") for number in numbers)]
        absent = {"tag"} if kind not in TAGS or len(fields["tag"].choices) == 1 else set()
        absent |= {"model"} if kind not in MODELS else set()
        for name in {*without, *absent}:
            del fields[name]

    def criteria(self) -> Criteria:
        self.is_valid()
        data = self.cleaned_data
        return Criteria(
            words=data.get("q", "").strip(),
            person=int(data["person"]) if data.get("person") else None,
            state=data.get("state", ""),
            tag=data.get("tag", ""),
            since=data.get("since"),
            until=data.get("until"),
            version=int(data["version"]) if data.get("version") else None,
            model=data.get("model", "").strip(),
        )

    def is_filtered(self) -> bool:
        return self.criteria() != Criteria()

    def query(self) -> str:
        """Return what was chosen as the tail of an address, "" or "&q=...", for links that change something else."""
        self.is_valid()
        pairs = {name: value for name, value in self.cleaned_data.items() if value}
        return f"&{urlencode(pairs)}" if pairs else ""
