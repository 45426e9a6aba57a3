"""The embedded engine: several models in one process, each with its own batch, all stepped by one thread.

One thread, because torch spreads each step over all cores by itself: two models stepping at once would only fight for
them. Loading and the encoding of prompts have threads of their own, so that neither holds up a running answer. With
nothing to do every thread sleeps.
"""

import gc
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from ml.engine_model import (
    BatchedModel,
    EngineError,
    Generation,
    Line,
    is_memory_error,
    load_model,
)
from ml.errors import MlError

logger = logging.getLogger(__name__)

# Over this many seconds the speed in `health` is counted.
SPEED_WINDOW_S = 10
MAX_FAILED_KEPT = 8


@dataclass(eq=False)
class Entry:
    """A model by name; generations that arrive while it loads wait in `early`."""

    name: str
    path: str
    loaded: "Future[None]"
    state: Literal["loading", "ready", "failed"] = "loading"
    model: BatchedModel | None = None
    early: list[Generation] = field(default_factory=list)
    n_encoding: int = 0
    used_at: float = field(default_factory=time.monotonic)
    unloaded: "Future[None] | None" = None

    @property
    def is_idle(self) -> bool:
        return self.model is not None and not self.model.is_busy and not self.early and not self.n_encoding


class Engine:
    """Loads models from below `root` and generates with them. All methods may be called from any thread.

    What fails after `generate` has returned reaches the generation as its error line.
    """

    def __init__(
        self,
        *,
        root: Path,
        max_models: int = 4,
        max_batch: int = 32,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ):
        self.root = root.resolve()
        self.max_models = max_models
        self.max_batch = max_batch
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = dtype or best_dtype(self.device)
        self._entries: dict[str, Entry] = {}
        self._changed = threading.Condition()
        self._is_closed = False
        self._started_at = time.monotonic()
        self._steps: deque[tuple[float, int]] = deque()
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loads")
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._stepper = threading.Thread(target=self._run, name="step", daemon=True)
        self._stepper.start()

    def load(self, *, name: str, path: str) -> "Future[None]":
        """Load the model unless it is there. The future raises EngineError or NoMemoryError where that fails.

        Raises EngineError of kind "not_found" or "conflict" (the name stands for another folder).
        """
        with self._changed:
            return self._entry(name=name, path=path).loaded

    def unload(self, *, name: str) -> "Future[None]":
        """Take no more requests for the model; the future is done once the accepted ones have ended and it is gone."""
        with self._changed:
            entry = self._entries.get(name)
            if entry is None:
                raise EngineError(f"There is no model {name}.", kind="not_found")
            if entry.unloaded is None:
                entry.unloaded = new_future()
                self._changed.notify()
            return entry.unloaded

    def generate(self, *, name: str, path: str | None, generation: Generation) -> "Future[None]":
        """Queue a generation, loading the model first where need be; returns the model's `loaded`.

        Raises EngineError of kind "not_found" or "conflict".
        """
        with self._changed:
            entry = self._entry(name=name, path=path)
            entry.used_at = time.monotonic()
            if entry.model is None:
                entry.early.append(generation)
            else:
                self._encode(entry, generation)
            return entry.loaded

    def cancel(self, generation: Generation) -> None:
        """End a generation without a word; its place is free at the next step."""
        with self._changed:
            generation.is_cancelled = True
            self._changed.notify()

    def health(self) -> Line:
        """What is loaded and how busy it is, as in docs/engine.md."""
        now = time.monotonic()
        with self._changed:
            self._forget_steps(now)
            return {
                "status": "ok",
                "models": [
                    {
                        "name": entry.name,
                        "path": entry.path,
                        "state": entry.state,
                        "n_active": len(entry.model.rows) if entry.model else 0,
                        "n_waiting": len(entry.early)
                        + entry.n_encoding
                        + (len(entry.model.waiting) if entry.model else 0),
                    }
                    for entry in self._entries.values()
                ],
                "tokens_per_s": round(sum(n for _, n in self._steps) / SPEED_WINDOW_S, 1),
                "uptime_s": round(now - self._started_at, 1),
            }

    def close(self, *, wait: bool = False) -> None:
        """End everything that runs with an error line; a load that is under way is waited for on request, a step is not."""
        with self._changed:
            self._is_closed = True
            for entry in self._entries.values():
                generations = list(entry.early)
                if entry.model:
                    generations += [row.generation for row in entry.model.rows]
                    generations += [row.generation for row in entry.model.waiting]
                for generation in generations:
                    generation.is_cancelled = True
                    generation.fail("The engine is stopping.", kind="stopping")
            self._changed.notify()
        self._loader.shutdown(wait=wait, cancel_futures=True)
        self._encoder.shutdown(wait=False, cancel_futures=True)

    def _entry(self, *, name: str, path: str | None) -> Entry:
        """The entry of that name; a missing or failed one begins to load. Called with the lock held."""
        if self._is_closed:
            raise EngineError("The engine is stopping.", kind="stopping")
        entry = self._entries.get(name)
        if entry is not None and entry.unloaded is not None:
            raise EngineError(f"The model {name} is being unloaded.", kind="conflict")
        if entry is not None and entry.state != "failed":
            if path is not None and self._folder(path) != self._folder(entry.path):
                raise EngineError(
                    f"The model {name} is loaded from {entry.path}; unload it before another takes its name.",
                    kind="conflict",
                )
            return entry
        if path is None:
            raise EngineError(f"The model {name} is not loaded.", kind="not_found")
        folder = self._folder(path)
        if not folder.is_dir():
            raise EngineError(f"There is no model folder {path}.", kind="not_found")
        self._entries.pop(name, None)
        entry = self._entries[name] = Entry(name=name, path=path, loaded=new_future())
        self._loader.submit(run_apart, self._load, entry, folder)
        return entry

    def _folder(self, path: str) -> Path:
        folder = (self.root / path).resolve()
        if not folder.is_relative_to(self.root) or folder == self.root:
            raise EngineError(f"There is no model folder {path}.", kind="not_found")
        return folder

    def _load(self, entry: Entry, folder: Path) -> None:
        """In the loader's thread."""
        failure: MlError | None = None
        try:
            model = load_model(
                folder=folder,
                dtype=self.dtype,
                device=self.device,
                max_batch=self.max_batch,
            )
        except MlError as error:
            failure = error
        except Exception as error:  # the loader's edge: nobody else would hear of it
            logger.exception("%s cannot be loaded", folder)
            failure = EngineError(f"{entry.name} cannot be loaded: {error}", kind="load")
        if failure is not None:
            with self._changed:
                entry.state = "failed"
                early, entry.early = entry.early, []
                self._forget_failed()
                self._changed.notify()
            for generation in early:
                generation.fail(str(failure), kind=failure.kind)
            entry.loaded.set_exception(failure)
            return
        with self._changed:
            entry.model = model
            entry.state = "ready"
            entry.used_at = time.monotonic()
            early, entry.early = entry.early, []
            for generation in early:
                self._encode(entry, generation)
            self._changed.notify()
        logger.info("Loaded %s", entry.name)
        entry.loaded.set_result(None)

    def _forget_failed(self) -> None:
        failed = [e for e in self._entries.values() if e.state == "failed"]
        for entry in failed[:-MAX_FAILED_KEPT]:
            del self._entries[entry.name]

    def _encode(self, entry: Entry, generation: Generation) -> None:
        """Send the generation to the encoder's thread and from there into the batch. Called with the lock held."""

        def encode(model: BatchedModel) -> None:
            row = None
            try:
                if not generation.is_cancelled:
                    row = model.prepare(generation)
            except MlError as error:
                generation.fail(str(error), kind=error.kind)
            except Exception:  # the encoder's edge: nobody else would hear of it
                logger.exception("A prompt cannot be encoded")
                generation.fail("The engine cannot read this prompt.", kind="engine")
            finally:
                with self._changed:
                    entry.n_encoding -= 1
                    if row is not None and not self._is_closed:
                        model.waiting.append(row)
                    self._changed.notify()
            if self._is_closed:
                generation.fail("The engine is stopping.", kind="stopping")

        assert entry.model is not None
        entry.n_encoding += 1
        self._encoder.submit(encode, entry.model)

    @torch.inference_mode()
    def _run(self) -> None:
        """In the stepper's thread: a step of each busy model in turn, sleep when there is none."""
        while True:
            with self._changed:
                while not self._is_closed and not (busy := self._tidy()):
                    self._changed.wait()
                if self._is_closed:
                    # A row that was between two lists while the engine was closed would else never hear of it.
                    for entry in self._entries.values():
                        if entry.model:
                            entry.model.fail_all("The engine is stopping.", kind="stopping")
                    return
            for model in busy:
                n_tokens = self._step(model)
                if n_tokens:
                    now = time.monotonic()
                    with self._changed:
                        self._steps.append((now, n_tokens))
                        self._forget_steps(now)

    def _step(self, model: BatchedModel) -> int:
        try:
            return model.step()
        except Exception as error:  # one model's failure must not stop the others
            logger.exception("A step has failed")
            if is_memory_error(error):
                model.fail_all("The engine has run out of memory.", kind="memory")
            else:
                model.fail_all("The engine has failed on this batch.", kind="engine")
            return 0

    def _tidy(self) -> list[BatchedModel]:
        """Let go of models that are to leave, return those that have work. Called with the lock held."""
        for entry in list(self._entries.values()):
            if entry.unloaded is not None and (entry.is_idle or entry.state == "failed"):
                self._forget(entry)
                entry.unloaded.set_result(None)
        ready = sorted((e for e in self._entries.values() if e.model), key=lambda e: e.used_at)
        n_over = len(ready) - self.max_models
        for entry in [e for e in ready[:-1] if e.is_idle][: max(n_over, 0)]:
            logger.info("Forgot %s, the least recently used", entry.name)
            self._forget(entry)
        return [e.model for e in ready if e.model and e.model.is_busy]

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.name]
        entry.model = None
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _forget_steps(self, now: float) -> None:
        while self._steps and self._steps[0][0] < now - SPEED_WINDOW_S:
            self._steps.popleft()


def run_apart(work: Callable[..., None], *args: object) -> None:
    """Do the work in a thread that ends with it, and wait.

    OpenMP keeps a team of threads for each thread that has computed. With more of them than cores it lets them sleep
    between two operations, which costs a step half of its time: a loader that lives on would be such a one.
    """
    thread = threading.Thread(target=work, args=args, name="load", daemon=True)
    thread.start()
    thread.join()


def new_future() -> "Future[None]":
    """A future that several may wait for: one of them giving up does not cancel it for the others."""
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()
    return future


def best_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware computes in it, else float32: emulated, bfloat16 is slower and no better."""
    if device.type == "cuda":
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bfloat16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if has_bfloat16 else torch.float32
