"""Figures of a run as TensorBoard reads them: the folder `tensorboard/` of the run directory."""

from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

FLUSH_S = 10


class Scalars:
    """Writes each number of a `metrics` event under its name. Nothing is made before the first one.

    A resumed run adds a file, which tells TensorBoard to forget the steps that are gone through again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def add(self, values: dict[str, Any]) -> None:
        step = values["step"]
        if self._writer is None:
            again = step if self._folder.is_dir() else None
            self._writer = SummaryWriter(str(self._folder), purge_step=again, flush_secs=FLUSH_S)
        for name, value in values.items():
            if name not in ("step", "n_steps") and isinstance(value, int | float):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Have everything on the disk."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
