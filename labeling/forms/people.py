from django import forms
from django.contrib.auth.password_validation import validate_password
from django.db.models import Q, QuerySet
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from labeling.models import Invitation, Membership, User
from labeling.states import Role


class InviteForm(forms.Form):
    role = forms.ChoiceField(label=_("role"), choices=Role.choices, initial=Role.CONTRACTOR)
    email = forms.EmailField(
        label=_("email address"), required=False, help_text=_("If you name one, only this person can use the link.")
    )
    is_mailed = forms.BooleanField(label=_("send the link by mail"), required=False)

    def clean(self) -> None:
        if self.cleaned_data.get("is_mailed") and not self.cleaned_data.get("email") and "email" not in self.errors:
            self.add_error("email", _("To send the link by mail, name an address."))


class PeopleForm(forms.Form):
    """Which members the list shows and how they are sorted; nonsense is left out."""

    q = forms.CharField(label=_("name or address"), required=False, max_length=100, widget=forms.SearchInput)
    role = forms.ChoiceField(label=_("role"), required=False, choices=[("", _("any")), *Role.choices])
    state = forms.ChoiceField(
        label=_("state"),
        required=False,
        choices=[("", _("in the project")), ("paused", _("paused")), ("removed", _("removed")), ("all", _("all"))],
    )
    sort = forms.RegexField(
        r"^-?(name|role|desk|weekly|acceptance|agreement|active)$", required=False, widget=forms.HiddenInput
    )

    @staticmethod
    def columns() -> list[tuple[str, str]]:
        return [
            ("name", pgettext("person", "Name")),
            ("role", gettext("Role")),
            ("desk", gettext("On the desk")),
            ("weekly", gettext("Accepted a week")),
            ("acceptance", gettext("Acceptance")),
            ("agreement", gettext("Agreement")),
            ("active", gettext("Active time")),
        ]

    def sorting(self) -> tuple[str, bool]:
        """Return the column and whether it runs downwards. Figures begin with the highest, names with A."""
        name = self.sorted_by.removeprefix("-")
        return name, (name in ("name", "role")) == self.sorted_by.startswith("-")

    @property
    def sorted_by(self) -> str:
        self.is_valid()
        return self.cleaned_data.get("sort") or "name"

    def apply(self, rows: "QuerySet[Membership]") -> "QuerySet[Membership]":
        self.is_valid()
        data = self.cleaned_data
        state = data.get("state")
        if not state:
            rows = rows.exclude(**_STATES["removed"])
        elif state != "all":
            rows = rows.filter(**_STATES[state])
        if role := data.get("role"):
            rows = rows.filter(role=role)
        for word in data.get("q", "").split():
            rows = rows.filter(Q(user__name__icontains=word) | Q(user__email__icontains=word))
        return rows


_STATES: dict[str, dict[str, object]] = {
    "paused": {"is_active": False, "paused_at__isnull": False},
    "removed": {"is_active": False, "paused_at__isnull": True},
}


class RoleForm(forms.Form):
    role = forms.ChoiceField(label=_("role"), choices=Role.choices)


class JoinForm(forms.Form):
    """A new person's account. The address is fixed where the invitation names one."""

    name = forms.CharField(
        label=_("your name"), max_length=120, widget=forms.TextInput(attrs={"autocomplete": "name", "autofocus": True})
    )
    email = forms.EmailField(label=_("email address"), widget=forms.EmailInput(attrs={"autocomplete": "username"}))
    password = forms.CharField(
        label=_("password"),
        strip=False,
        help_text=_("At least 10 characters."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: object, invitation: Invitation, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        if invitation.email:
            self.fields["email"].initial = invitation.email
            self.fields["email"].disabled = True

    def clean(self) -> None:
        person = User(name=self.cleaned_data.get("name", ""), email=self.cleaned_data.get("email", ""))
        if self.cleaned_data.get("password"):
            try:
                validate_password(self.cleaned_data["password"], person)
            except forms.ValidationError as error:
                self.add_error("password", error)
