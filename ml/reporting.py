"""What a run tells while it trains: metrics of every step, and how it does on validation rows."""

import time
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import PreTrainedModel

from ml.arguments import is_checkpoint
from ml.batch import collate, head, learnt_hidden
from ml.checkpoints import Checkpoints
from ml.data import Encoded
from ml.generate import batches
from ml.losses import accuracies, token_logprobs
from ml.plan import Row
from ml.rundir import RunDirectory

VALID_BATCH_SIZE = 8
# So many validation rows are measured at every checkpoint, all of them at the end with the weights that are kept.
N_VALID_ON_THE_WAY = 32
LOGGED = ("replay_loss", "preference_loss", "token_accuracy", "sequence_accuracy", "grad_norm")


class AnyStep(Protocol):
    """A step of whichever plan."""

    @property
    def epoch(self) -> float: ...
    @property
    def examples(self) -> Sequence[Any]: ...


class Progress(Checkpoints):
    """Turns what the trainer does into events beside what Checkpoints does."""

    def __init__(
        self, run: RunDirectory, steps: Sequence[AnyStep], n_tokens: Sequence[int], *, patience: int = 0
    ) -> None:
        super().__init__(run, patience=patience)
        self.steps = steps
        self.n_tokens = n_tokens
        self.start = self.first = None

    def measure(self, model: Any) -> Row:
        """What is measured at each checkpoint: figures by the names of their metrics."""
        raise NotImplementedError

    def speed(self, tokens_per_s: float) -> Row:
        """Further figures that follow from the speed."""
        return {}

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.start is None:
            self.start, self.first = time.monotonic(), state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Row, **kwargs: Any) -> None:
        if "example_loss" not in logs:
            return
        step, n_steps = state.global_step, len(self.steps)
        elapsed, n_done = time.monotonic() - self.start, step - self.first
        is_due = is_checkpoint(step, n_steps=n_steps, save_steps=args.save_steps)
        measured = self.measure(kwargs["model"]) if is_due else {}
        tokens_per_s = sum(self.n_tokens[self.first : step]) / elapsed
        self.run.events.emit(
            "metrics",
            step=step,
            n_steps=n_steps,
            epoch=round(self.steps[step - 1].epoch, 3),
            loss=logs["example_loss"],
            learning_rate=logs["learning_rate"],
            tokens_per_s=round(tokens_per_s, 1),
            remaining_s=round(elapsed / n_done * (n_steps - step), 1),
            n_tokens=sum(self.n_tokens[:step]),
            n_examples=sum(len(s.examples) for s in self.steps[:step]),
            **self.speed(tokens_per_s),
            **{name: logs[name] for name in LOGGED if name in logs},
            **measured,
        )
        if is_due:
            self.note(control, step=step, figures={"loss": logs["example_loss"], **measured})


@torch.no_grad()
def measure_valid(model: PreTrainedModel, rows: Sequence[Encoded]) -> dict[str, float]:
    """Mean loss per answer token in nats, and the accuracies by token and by whole answer; {} without rows."""
    if not rows:
        return {}
    n_tokens, sums = 0, torch.zeros(3)
    for indices in batches([len(row.ids) for row in rows], size=VALID_BATCH_SIZE):
        batch = {name: value.to(model.device) for name, value in collate([rows[i] for i in indices]).items()}
        hidden, targets, places = learnt_hidden(model, batch)
        logits = head(model, hidden)
        token, sequence = accuracies(logits, targets, places, len(indices))
        loss = -token_logprobs(logits, targets).mean()
        n_tokens += len(targets)
        sums += torch.tensor([loss * len(targets), token * len(targets), sequence * len(indices)])
    return {
        "valid_loss": float(sums[0] / n_tokens),
        "valid_token_accuracy": float(sums[1] / n_tokens),
        "valid_sequence_accuracy": float(sums[2] / len(rows)),
    }
