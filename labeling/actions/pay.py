"""Rates and languages of members."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from common.states import record
from labeling.actions.errors import NotAllowed
from labeling.models import Membership, Rate, User
from labeling.states import RateUnit


@transaction.atomic
def set_rate(
    *, membership: Membership, amount: Decimal, unit: RateUnit | str, by: User | None, valid_from: date | None = None
) -> Rate:
    """Let a member earn `amount` per `unit` from a day on, by default from today.

    What was earned before stays as it was: raises NotAllowed for a day in the past, unless it is the person's first
    rate. A second change for the same day takes the first one's place.
    """
    Membership.objects.select_for_update().get(pk=membership.pk)
    today = timezone.localdate(timezone=timezone.get_default_timezone())
    valid_from = valid_from or today
    former = membership.rates.filter(valid_from__lte=valid_from).last()
    if valid_from < today and membership.rates.exists():
        raise NotAllowed(_("A new rate begins today or later: what was earned before stays as it was."))
    rate, _is_new = Rate.objects.update_or_create(
        membership=membership, valid_from=valid_from, defaults={"amount": amount, "unit": RateUnit(unit), "set_by": by}
    )
    record(
        membership,
        what="rate",
        before=f"{former.amount.normalize():f} {former.unit}" if former else "",
        after=f"{amount.normalize():f} {RateUnit(unit).value} from {valid_from.isoformat()}",
        by=by,
    )
    return rate


@transaction.atomic
def set_languages(*, membership: Membership, languages: Sequence[str], by: User | None) -> None:
    """Note in which languages a member works."""
    before = membership.languages
    if list(languages) == before:
        return
    membership.languages = list(languages)
    membership.save(update_fields=["languages"])
    record(membership, what="languages", before=", ".join(before), after=", ".join(languages), by=by)
