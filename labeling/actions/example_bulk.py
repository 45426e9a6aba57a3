"""Imported conversations as examples, by the thousand: duplicates are looked for and rows are written a batch at a time."""

import json
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Max, Q, QuerySet
from django.db.models.expressions import RawSQL

from common.bulk import JsonText, insert_many
from common.conversations import Message
from labeling.actions.example_incoming import MOST_CANDIDATES, PART, Incoming, are_near, unpack_keys
from labeling.actions.import_sieve import BandSieve, HashSieve
from labeling.findings.fingerprints import NEARLY_THE_SAME, estimate_overlap
from labeling.models import Example, ExampleImport, Fingerprint, FingerprintBand, Probe
from labeling.states import ExampleKind

SOME = 10_000  # values in one query
_DOUBT = 0.2  # three standard deviations of an estimate


@dataclass
class Outcome:
    """What is to become of a batch: which rows are new, and who is left out why. `near`: (place, what it resembles)."""

    fresh: list[Incoming] = field(default_factory=list)
    n_duplicates: int = 0
    near: list[tuple[str, str]] = field(default_factory=list)
    held_out: list[Incoming] = field(default_factory=list)


class Sieve:
    """Says of one batch of clean, prepared conversations after the other which rows become examples.

    Left out: what is an example already or stood earlier in the file, what asks exactly what a held-out probe asks, and,
    where the import says so, what is nearly the same as another example: answers and whole conversations both overlap by
    three quarters. The `n_before` batches before the one that is looked at may still be on their way into the database.
    """

    def __init__(self, *, example_import: ExampleImport, n_before: int):
        self._import = example_import
        self._hashes = HashSieve(example_import=example_import)
        self._bands = BandSieve(example_import=example_import, part=PART)
        self._latest: deque[set[str]] = deque(maxlen=n_before)

    def sift(self, rows: Sequence[Incoming]) -> Outcome:
        outcome = Outcome()
        project_pk = self._import.project_id
        wanted: dict[str, Incoming] = {}
        for row in rows:
            wanted.setdefault(row.content_hash, row)
        stored = Example.objects.trainable().filter(project_id=project_pk)
        known = _known(stored, self._hashes.sift(wanted)).union(*self._latest)
        probes = Probe.objects.filter(test__project_id=project_pk, test__is_active=True)
        tested = set(probes.values_list("prompt_hash", flat=True))
        fresh = [row for key, row in wanted.items() if key not in known]
        outcome.n_duplicates = len(rows) - len(fresh)
        outcome.held_out = [row for row in fresh if row.prompt_hash in tested]
        outcome.fresh = [row for row in fresh if row.prompt_hash not in tested]
        if self._import.skips_near:
            self._leave_near_out(outcome)
        latest = {row.content_hash for row in outcome.fresh}
        self._hashes.add(latest)
        self._bands.add(_keys_of(outcome.fresh))
        self._latest.append(latest)
        return outcome

    def _leave_near_out(self, outcome: Outcome) -> None:
        """Move what resembles an example or a row before it from `fresh` to `near`."""
        self._bands.catch_up()
        stored = _near_stored(outcome.fresh, self._bands)
        latest: set[str] = set().union(*self._latest)
        kept: dict[str, Incoming] = {}
        for row in outcome.fresh:
            twins = (place for twin, place in row.twins.items() if twin in kept or twin in latest)
            other = stored.get(row.content_hash) or next(twins, "")
            if other:
                outcome.near.append((row.place, other))
            else:
                kept[row.content_hash] = row
        outcome.fresh = list(kept.values())


def add_examples(*, example_import: ExampleImport, rows: list[Incoming]) -> list[int]:
    """Add conversations that were sifted; return the keys of their examples. Has to run in a transaction.

    What somebody else has just handed in the same is left out.
    """
    added = _insert(example_import, rows)
    _insert_fingerprints(rows, added)
    return list(added.values())


def _known(rows: "QuerySet[Example]", hashes: list[str]) -> set[str]:
    """Return which contents are among the rows. All hashes go as one parameter: one each costs more than the search."""
    if not hashes:
        return set()
    column = f"{Example._meta.db_table}.content_hash"
    if connection.vendor == "postgresql":
        among = RawSQL(f"{column} = ANY(%s::text[])", [hashes], BooleanField())
    else:
        among = RawSQL(f"{column} IN (SELECT value FROM json_each(%s))", [json.dumps(hashes)], BooleanField())
    return set(rows.filter(among).values_list("content_hash", flat=True))


def _some(values: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(values), SOME):
        yield values[start : start + SOME]


def _keys_of(rows: Iterable[Incoming]) -> Sequence[int]:
    return unpack_keys(b"".join(row.bands for row in rows))


def _near_stored(rows: list[Incoming], bands: BandSieve) -> dict[str, str]:
    """Return, by content, the key of the stored example that a row resembles, as "#12"."""
    found = list(_find_bands(bands.sift(_keys_of(rows))))
    wanted = {key for key, _fingerprint_pk in found}
    by_key: dict[int, list[Incoming]] = defaultdict(list)
    for row in rows if wanted else ():
        for key in wanted.intersection(row.keys):
            by_key[key].append(row)
    hits: dict[str, Counter[int]] = defaultdict(Counter)
    for key, fingerprint_pk in found:
        for row in by_key[key]:
            hits[row.content_hash][fingerprint_pk] += 1
    if not hits:
        return {}
    likeliest = {key: [pk for pk, _n in found.most_common(MOST_CANDIDATES)] for key, found in hits.items()}
    others = _stored({pk for pks in likeliest.values() for pk in pks})
    near: dict[str, str] = {}
    for row in rows:
        for pk in likeliest.get(row.content_hash, ()):
            if pk not in others:
                continue
            sketch, example_pk, messages = others[pk]
            is_likely = estimate_overlap(row.sketch, sketch) >= NEARLY_THE_SAME - _DOUBT
            if is_likely and are_near(row.messages, messages):
                near[row.content_hash] = f"#{example_pk}"
                break
    return near


def _find_bands(keys: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (key, fingerprint) of the stored bands with these keys. Numbers as text: a parameter each costs more than the search."""
    wanted = f"SELECT key, fingerprint_id FROM {FingerprintBand._meta.db_table} WHERE key"
    with connection.cursor() as cursor:
        for some in _some(sorted(set(keys))):
            numbers = ",".join(map(str, some))
            if connection.vendor == "postgresql":
                cursor.execute(f"{wanted} = ANY('{{{numbers}}}'::bigint[])")  # a list of IN it reads one by one
            else:
                cursor.execute(f"{wanted} IN ({numbers})")
            yield from cursor.fetchall()


def _stored(pks: set[int]) -> dict[int, tuple[bytes, int, list[Message]]]:
    """Return sketch, key and conversation of the examples in use that these fingerprints are of."""
    found: dict[int, tuple[bytes, int, list[Message]]] = {}
    for some in _some(sorted(pks)):
        rows = Fingerprint.objects.filter(pk__in=some, part=PART)
        for at in ("example", "submission__example"):
            used = rows.filter(Q(**{f"{at}__isnull": False, f"{at}__retracted_at__isnull": True}))
            for pk, sketch, example_pk, messages in used.values_list("pk", "sketch", f"{at}__pk", f"{at}__messages"):
                found[pk] = (bytes(sketch), example_pk, messages)
    return found


def _insert(example_import: ExampleImport, rows: list[Incoming]) -> dict[str, int]:
    last = Example.objects.aggregate(last=Max("pk"))["last"] or 0
    names = ("kind", "messages", "content_hash", "prompt_hash", "import_place", "rejected", "search_text")
    insert_many(
        Example,
        names,
        (
            (
                str(ExampleKind.DEMONSTRATION if row.rejected is None else ExampleKind.CORRECTION),
                JsonText(row.text),
                row.content_hash,
                row.prompt_hash,
                row.place[:200],
                row.rejected,
                row.search_text,
            )
            for row in rows
        ),
        project_id=example_import.project_id,
        example_import_id=example_import.pk,
        accepted_by_id=example_import.created_by_id,
    )
    fresh = Example.objects.filter(pk__gt=last)  # by key alone: any other index holds all that was imported before
    found = fresh.values_list("content_hash", "pk", "example_import_id")
    own = {row.content_hash for row in rows}  # other batches of this import are being written meanwhile
    return {
        content_hash: pk for content_hash, pk, origin in found if origin == example_import.pk and content_hash in own
    }


def _insert_fingerprints(rows: list[Incoming], added: dict[str, int]) -> None:
    sketched = {added[row.content_hash]: row for row in rows if row.bands and row.content_hash in added}
    last = Fingerprint.objects.aggregate(last=Max("pk"))["last"] or 0
    marks = ((pk, row.sketch) for pk, row in sketched.items())
    insert_many(Fingerprint, ("example_id", "sketch"), marks, may_conflict=False, part=PART)
    fresh = Fingerprint.objects.filter(pk__gt=last).values_list("pk", "example_id")
    pairs = [(key, pk) for pk, example_pk in fresh if example_pk in sketched for key in sketched[example_pk].keys]
    pairs.sort()
    insert_many(FingerprintBand, ("key", "fingerprint_id"), pairs, may_conflict=False)


def delete_examples(*, keys: Sequence[int]) -> None:
    """Delete examples that nothing was built on, with their fingerprints and tags."""
    fingerprints = Fingerprint.objects.filter(example__in=keys)
    FingerprintBand.objects.filter(fingerprint__in=fingerprints.values("pk")).delete()
    fingerprints.delete()
    Example.objects.filter(pk__in=keys).delete()
