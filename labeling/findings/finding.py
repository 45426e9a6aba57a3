"""One thing that was found in a text when it was handed in, and how people are told of it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from django.utils.translation import get_language_info, ngettext
from django.utils.translation import gettext as _

from labeling.findings.places import Place
from labeling.states import FindingKind


@dataclass(frozen=True)
class Finding:
    """`kind`, the places where it is, and `values` that its message is made of.

    `reason` is why the author handed the text in all the same.
    """

    kind: FindingKind
    places: list[Place] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    reason: str = ""

    def as_row(self) -> dict[str, Any]:
        return asdict(self) | {"kind": str(self.kind)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Finding":
        return cls(FindingKind(row["kind"]), [Place(**place) for place in row["places"]], row["values"], row["reason"])

    @property
    def label(self) -> str:
        return str(self.kind.label)

    @property
    def message(self) -> str:
        """What was found and what to do, for the author."""
        return MESSAGES[self.kind](self.values)

    @property
    def message_for_reviewer(self) -> str:
        if self.kind == FindingKind.DUPLICATE and self.values["is_own"]:
            return _("The author has handed in nearly the same text before.")
        return self.message


def _duplicate(values: dict[str, Any]) -> str:
    if values["is_own"] and values["part"] == "prompt":
        return _("You have handed in nearly the same prompt before.")
    if values["is_own"]:
        return _("You have handed in nearly the same text before.")
    if values["part"] == "prompt":
        return _("Somebody has handed in nearly the same prompt.")
    return _("Somebody has handed in nearly the same text.")


def _personal(values: dict[str, Any]) -> str:
    return _("This looks like personal data. Replace it by something invented, unless it is public and the answer needs it.")  # fmt: skip


def _chatbot(values: dict[str, Any]) -> str:
    return _("This is how chatbots speak of themselves. The model learns from what people write: use your own words.")


def _language(values: dict[str, Any]) -> str:
    names = {"asked": language_name(values["asked"]), "answered": language_name(values["answered"])}
    if values["by"] == "instructions":
        return _("The instructions ask for answers in %(asked)s; this one is in %(answered)s.") % names
    return _("The prompt is in %(asked)s, the answer in %(answered)s.") % names


def _unfinished(values: dict[str, Any]) -> str:
    if values["what"] == "fence":
        return _("A block of code is opened and not closed.")
    if values["what"] == "placeholder":
        return _("Something is still to be filled in.")
    return _("The text seems to break off in the middle of a sentence.")


def _length(values: dict[str, Any]) -> str:
    n_words = ngettext("The answer has %(n)d word.", "The answer has %(n)d words.", values["n_words"])
    limit = {"n": values["limit"]}
    if values["what"] == "short":
        asked = ngettext("The instructions ask for at least %(n)d.", "The instructions ask for at least %(n)d.", limit["n"])  # fmt: skip
    else:
        asked = ngettext("The instructions ask for at most %(n)d.", "The instructions ask for at most %(n)d.", limit["n"])  # fmt: skip
    return f"{n_words % {'n': values['n_words']}} {asked % limit}"


def language_name(code: str) -> str:
    """Return the name of a language in the reader's own, the code where it has none."""
    try:
        return str(get_language_info(code.lower())["name_translated"])
    except KeyError:
        return code


MESSAGES = {
    FindingKind.DUPLICATE: _duplicate,
    FindingKind.PERSONAL: _personal,
    FindingKind.CHATBOT: _chatbot,
    FindingKind.LANGUAGE: _language,
    FindingKind.UNFINISHED: _unfinished,
    FindingKind.LENGTH: _length,
}
PLACE_LABELS = {
    "mail": lambda: _("mail address"),
    "phone": lambda: _("phone number"),
    "card": lambda: _("card number"),
    "id": lambda: _("identity number"),
    "account": lambda: _("account number"),
}
