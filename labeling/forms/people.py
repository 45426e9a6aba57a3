from django import forms
from django.contrib.auth.password_validation import validate_password
from django.utils.translation import gettext_lazy as _

from labeling.models import Invitation, User
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
