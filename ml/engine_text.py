"""From token ids to text that may be sent: whole characters only, and nothing of a stop string."""

from collections.abc import Iterable

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

HALF_CHARACTER = "\ufffd"


class TextStream:
    """The text of one answer, released piece by piece as its tokens arrive.

    The concatenated pieces equal the decoded answer, cut before the earliest stop string. Special tokens are not
    text and vanish. What may turn out to be a half character or the beginning of a stop string is kept back until
    the next token tells.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Iterable[str] = ()):
        self._tokenizer = tokenizer
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._stop = tuple(stop)
        self._held = ""
        self._undecoded: list[int] = []
        self.is_stopped = False

    def push(self, token: int) -> str:
        """The text that is safe to send now, often "". Once a stop string is complete `is_stopped` turns true."""
        piece = self._decoder.step(self._tokenizer, token)
        if piece is None:
            self._undecoded.append(token)
            return ""
        self._undecoded.clear()
        self._held += piece
        return self._release()

    def finish(self) -> str:
        """The rest, after the last token: the beginnings of stop strings are text now, a half character is dropped."""
        if self.is_stopped:
            return ""
        if self._undecoded:
            text = self._tokenizer.decode(self._undecoded, skip_special_tokens=True)
            self._held += text.rstrip(HALF_CHARACTER)
        text = self._release()
        if self.is_stopped:
            return text
        text, self._held = text + self._held, ""
        return text

    def _release(self) -> str:
        if not self._stop:
            text, self._held = self._held, ""
            return text
        found = [at for at in (self._held.find(s) for s in self._stop) if at >= 0]
        if found:
            self.is_stopped = True
            text, self._held = self._held[: min(found)], ""
            return text
        n_kept = max(_overlap(self._held, stop) for stop in self._stop)
        at = len(self._held) - n_kept
        text, self._held = self._held[:at], self._held[at:]
        return text


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` with which `stop` begins, less than all of `stop`."""
    for n in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:n]):
            return n
    return 0
