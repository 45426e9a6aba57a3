"""The rules of a dataset version's composition, as a form."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from labeling.models import Project, User
from training.actions.composition import MOST_WEIGHT, Composition
from training.states import RowKind


def _weight(label: Any) -> forms.FloatField:
    return forms.FloatField(label=label, required=False, initial=1, min_value=0.05, max_value=MOST_WEIGHT)


def _share(label: Any, initial: int, highest: int, help_text: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, required=False, initial=initial, min_value=0, max_value=highest, help_text=help_text
    )


class ComposeForm(forms.Form):
    """What is left empty takes all."""

    kinds = forms.MultipleChoiceField(
        label=_("Kinds"),
        choices=RowKind.choices,
        initial=list(Composition().kinds),
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Compared pairs are learnt by the methods that learn preferences; the others leave them out."),
    )
    tags = forms.MultipleChoiceField(label=_("Tags"), required=False, widget=forms.CheckboxSelectMultiple)
    without_tags = forms.MultipleChoiceField(
        label=_("Without these tags"), required=False, widget=forms.CheckboxSelectMultiple
    )
    since = forms.DateField(label=_("Accepted from"), required=False, widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(label=_("Accepted until"), required=False, widget=forms.DateInput({"type": "date"}))
    authors = forms.MultipleChoiceField(label=_("Only by"), required=False, widget=forms.CheckboxSelectMultiple)
    without_authors = forms.MultipleChoiceField(
        label=_("Without those by"), required=False, widget=forms.CheckboxSelectMultiple
    )
    instructions = forms.MultipleChoiceField(
        label=_("Following instructions"), required=False, widget=forms.CheckboxSelectMultiple
    )
    languages = forms.CharField(
        label=_("Languages"),
        required=False,
        max_length=100,
        help_text=_(
            "Codes such as en, zh or de, with commas between. An answer whose language is uncertain is left out."
        ),
    )
    least_score = forms.FloatField(
        label=_("Least mean grade of the author"),
        required=False,
        min_value=1,
        max_value=7,
        help_text=_(
            "On the rubric, from 1 to 7. Grades are given for gold tasks, whose answers are never rows themselves: so each "
            "row counts by all grades of its author. A row whose author has none is left out, an imported one too."
        ),
    )
    weight_correction = _weight(_("Weight of corrections"))
    weight_demonstration = _weight(_("Weight of demonstrations"))
    weight_pair = _weight(_("Weight of compared pairs"))
    replay_share = _share(
        _("Former rows kept, in percent"),
        100,
        100,
        _("Of the rows that an earlier version has already, so many are kept."),
    )
    test_share = _share(
        _("Held out for tests, in percent"), 0, 50, _("Of what is no correction. A row held out once stays so.")
    )
    without = forms.CharField(
        label=_("Without these rows"),
        required=False,
        widget=forms.Textarea({"rows": 2}),
        help_text=_("Hashes of rows, one a line."),
    )
    note = forms.CharField(label=_("Note"), required=False, max_length=500)

    def __init__(self, data: Any = None, *, project: Project, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        people = User.objects.filter(pk__in=project.examples.order_by().values("author")).order_by("name")
        names = [(str(user.pk), str(user)) for user in people]
        tags = [(tag.name, tag.name) for tag in project.tags.all()]
        choices = {
            "tags": tags,
            "without_tags": tags,
            "authors": names,
            "without_authors": names,
            "instructions": [
                (str(number), f"v{number}")
                for number in project.instruction_versions.order_by("-number").values_list("number", flat=True)
            ],
        }
        for name, found in choices.items():
            if found:
                self.fields[name].choices = found  # type: ignore[attr-defined]
            else:
                del self.fields[name]

    @staticmethod
    def initial_of(rules: Composition, **more: Any) -> dict[str, Any]:
        """Return what the form shows for these rules."""
        names = ("kinds", "tags", "without_tags", "since", "until", "least_score")
        initial = {name: getattr(rules, name) for name in names}
        initial |= {name: [str(key) for key in getattr(rules, name)] for name in ("authors", "without_authors", "instructions")}  # fmt: skip
        initial |= {f"weight_{kind}": rules.weight(kind) for kind in RowKind.values}
        initial |= {"languages": ", ".join(rules.languages), "without": "\n".join(rules.without)}
        initial |= {name: round(100 * getattr(rules, name)) for name in ("replay_share", "test_share")}
        return initial | more

    def composition(self) -> Composition:
        """Raises BadComposition."""
        data = self.cleaned_data
        weights = {kind: data.get(f"weight_{kind}") or 1.0 for kind in RowKind.values}
        return Composition(
            kinds=tuple(data["kinds"]),
            tags=tuple(data.get("tags") or ()),
            without_tags=tuple(data.get("without_tags") or ()),
            since=data["since"].isoformat() if data["since"] else "",
            until=data["until"].isoformat() if data["until"] else "",
            authors=tuple(map(int, data.get("authors") or ())),
            without_authors=tuple(map(int, data.get("without_authors") or ())),
            instructions=tuple(map(int, data.get("instructions") or ())),
            languages=tuple(data["languages"].replace(",", " ").lower().split()),
            least_score=data["least_score"],
            without=tuple(data["without"].split()),
            weights={kind: weight for kind, weight in weights.items() if weight != 1},
            replay_share=(100 if data["replay_share"] is None else data["replay_share"]) / 100,
            test_share=(data["test_share"] or 0) / 100,
        )
