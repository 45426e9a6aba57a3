import re
from decimal import Decimal
from pathlib import Path
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from training.models import BaseModel
from training.states import BaseModelSource

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SOURCES = [
    (BaseModelSource.FOLDER.value, BaseModelSource.FOLDER.label),
    (BaseModelSource.HUB.value, BaseModelSource.HUB.label),
]


class AliasesField(forms.CharField):
    """Names with commas between them."""

    def clean(self, value: Any) -> Any:
        names = [name.strip() for name in str(super().clean(value)).split(",") if name.strip()]
        for name in names:
            if not NAME.fullmatch(name):
                raise forms.ValidationError(_("“%(name)s” is no name for a model.") % {"name": name})
        return names


class BaseModelEditForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=120)
    aliases = AliasesField(
        label=gettext_lazy("Other names"),
        required=False,
        help_text=gettext_lazy(
            "With commas between them, such as ada, babbage. One that points to another base model moves here."
        ),
    )
    licence = forms.CharField(label=gettext_lazy("Licence"), max_length=60, required=False)
    training_price = forms.DecimalField(
        label=gettext_lazy("Price of training, per thousand tokens"),
        min_value=0,
        max_digits=10,
        decimal_places=6,
        initial=Decimal(0),
    )
    inference_price = forms.DecimalField(
        label=gettext_lazy("Price of answering, per thousand tokens"),
        min_value=0,
        max_digits=10,
        decimal_places=6,
        initial=Decimal(0),
    )
    is_default = forms.BooleanField(label=gettext_lazy("The default of the catalog"), required=False)

    @classmethod
    def values_of(cls, base_model: BaseModel) -> dict[str, Any]:
        values = {name: getattr(base_model, name) for name in cls.base_fields}
        return values | {"aliases": ", ".join(base_model.aliases)}


class BaseModelAddForm(BaseModelEditForm):
    is_default = None  # type: ignore[assignment]

    slug = forms.SlugField(
        label=gettext_lazy("Short name"),
        max_length=60,
        help_text=gettext_lazy("Part of the names of the models trained from it. It cannot be changed later."),
    )
    source = forms.ChoiceField(label=gettext_lazy("Source"), choices=SOURCES)
    location = forms.CharField(
        label=gettext_lazy("Folder or Hub id"),
        max_length=300,
        help_text=gettext_lazy("The whole path of a folder on the machine that trains, or organisation/model."),
    )

    field_order = ["name", "slug", "source", "location", "aliases", "licence", "training_price", "inference_price"]

    def clean_slug(self) -> str:
        return self.cleaned_data["slug"].lower()

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        location = data.get("location", "")
        if data.get("source") == BaseModelSource.HUB and location and not REPOSITORY.fullmatch(location):
            self.add_error("location", _("A Hub id has the form organisation/model."))
        if data.get("source") == BaseModelSource.FOLDER and location and not Path(location).is_absolute():
            self.add_error("location", _("Give the whole path of the folder, from the root."))
        return data
