"""Which keys of bands the database may hold, known without asking it: an import asks for a million, of which it has few."""

from collections.abc import Iterable, Sequence

from django.db.models import Max

from labeling.findings.fingerprints import N_BANDS, band_keys
from labeling.models import ExampleImport, Fingerprint, FingerprintBand

_SIZE = 1 << 25  # marks, a byte each
_FULL = _SIZE // (2 * N_BANDS)  # fingerprints: with more than half of the marks set it says little
_WORTH_READING = 4  # stored fingerprints for each row that is to come
_SOME = 100_000  # rows fetched at once


class BandSieve:
    """Marks for the keys of the stored bands, by their last bits. It never holds back a key that is stored.

    What others store meanwhile is looked up before each batch. With so much stored that reading it costs more than it saves
    it lets every key through.
    """

    def __init__(self, *, example_import: ExampleImport, part: str):
        self._import, self._part = example_import, part
        self._space = f"{example_import.project_id}:{part}"
        self._seen = self._seen_before = Fingerprint.objects.aggregate(last=Max("pk"))["last"] or 0
        n_coming = example_import.n_rows - example_import.n_handled
        self._marks: bytearray | None = None
        if example_import.skips_near and self._seen <= min(_FULL, _WORTH_READING * n_coming):
            self._marks = bytearray(_SIZE)
            keys = FingerprintBand.objects.order_by().values_list("key", flat=True)
            self.add(keys.iterator(chunk_size=_SOME))

    def add(self, keys: Iterable[int]) -> None:
        if self._marks is not None:
            for key in keys:
                self._marks[key % _SIZE] = 1

    def sift(self, keys: Sequence[int]) -> Sequence[int]:
        """The keys that may be stored."""
        marks = self._marks
        return keys if marks is None else [key for key in keys if marks[key % _SIZE]]

    def catch_up(self) -> None:
        """Mark what others have stored. Looks back to the last time but one: what was being written then is there now."""
        if self._marks is None:
            return
        rows = Fingerprint.objects.filter(pk__gt=self._seen_before, part=self._part)
        for sketch in rows.exclude(example__example_import=self._import).values_list("sketch", flat=True):
            self.add(band_keys(bytes(sketch), space=self._space))
        self._seen_before = self._seen
        self._seen = Fingerprint.objects.aggregate(last=Max("pk"))["last"] or 0
