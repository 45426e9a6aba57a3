"""What the database may hold, known without asking it: an import asks for a million keys, of which it has few."""

from collections.abc import Iterable, Sequence

from django.db.models import Max

from labeling.findings.fingerprints import N_BANDS, band_keys
from labeling.models import Example, ExampleImport, Fingerprint, FingerprintBand

_WORTH_READING = 4  # stored rows for each row that is to come: reading more costs more than it saves
_SOME = 100_000  # rows fetched at once


class _Marks:
    """Marks for numbers by their last bits, a byte each: what was added is always found, other numbers now and then."""

    def __init__(self, size: int):
        self._size = size
        self._marks = bytearray(size)

    def add(self, numbers: Iterable[int]) -> None:
        marks, size = self._marks, self._size
        for number in numbers:
            marks[number % size] = 1

    def sift(self, numbers: Iterable[int]) -> list[int]:
        marks, size = self._marks, self._size
        return [number for number in numbers if marks[number % size]]


class HashSieve:
    """Lets those contents through that are perhaps examples of the project. Of what others store meanwhile it knows nothing."""

    SIZE = 1 << 23

    def __init__(self, *, example_import: ExampleImport):
        rows = Example.objects.trainable().filter(project_id=example_import.project_id).order_by()
        self._marks: _Marks | None = None
        if rows.count() <= min(self.SIZE // 2, _WORTH_READING * _n_coming(example_import)):
            self._marks = _Marks(self.SIZE)
            self.add(rows.values_list("content_hash", flat=True).iterator(chunk_size=_SOME))

    def add(self, hashes: Iterable[str]) -> None:
        if self._marks is not None:
            self._marks.add(_number(each) for each in hashes)

    def sift(self, hashes: Iterable[str]) -> list[str]:
        if self._marks is None:
            return list(hashes)
        by_number = {_number(each): each for each in hashes}
        return [by_number[number] for number in self._marks.sift(by_number)]


class BandSieve:
    """Lets those keys of bands through that are perhaps stored. What others store meanwhile is looked up by `catch_up`.

    With so much stored that it would say little, or that reading it costs more than it saves, it lets every key through.
    """

    SIZE = 1 << 25

    def __init__(self, *, example_import: ExampleImport, part: str):
        self._import, self._part = example_import, part
        self._space = f"{example_import.project_id}:{part}"
        self._seen = self._seen_before = Fingerprint.objects.aggregate(last=Max("pk"))["last"] or 0
        self._marks: _Marks | None = None
        most = min(self.SIZE // (2 * N_BANDS), _WORTH_READING * _n_coming(example_import))
        if example_import.skips_near and self._seen <= most:
            self._marks = _Marks(self.SIZE)
            keys = FingerprintBand.objects.order_by().values_list("key", flat=True)
            self.add(keys.iterator(chunk_size=_SOME))

    def add(self, keys: Iterable[int]) -> None:
        if self._marks is not None:
            self._marks.add(keys)

    def sift(self, keys: Sequence[int]) -> Sequence[int]:
        return keys if self._marks is None else self._marks.sift(keys)

    def catch_up(self) -> None:
        """Mark what others have stored. Looks back to the last time but one: what was being written then is there now."""
        if self._marks is None:
            return
        rows = Fingerprint.objects.filter(pk__gt=self._seen_before, part=self._part)
        for sketch in rows.exclude(example__example_import=self._import).values_list("sketch", flat=True):
            self.add(band_keys(bytes(sketch), space=self._space))
        self._seen_before = self._seen
        self._seen = Fingerprint.objects.aggregate(last=Max("pk"))["last"] or 0


def _n_coming(example_import: ExampleImport) -> int:
    return example_import.n_rows - example_import.n_handled


def _number(content_hash: str) -> int:
    return int(content_hash[:15], 16)
