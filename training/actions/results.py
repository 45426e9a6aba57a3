"""What a job measured, as a CSV file of the API."""

import csv
import io
from typing import Any

from training.actions.file import create_file
from training.models import File, Job
from training.queries import loss_points
from training.states import FilePurpose

# Column to the name of the value in a `metrics` event.
COLUMNS = {
    "step": "step",
    "train_loss": "loss",
    "train_accuracy": "token_accuracy",
    "valid_loss": "valid_loss",
    "valid_mean_token_accuracy": "valid_token_accuracy",
}
LEGACY_COLUMNS = {
    "step": "step",
    "elapsed_tokens": "n_tokens",
    "elapsed_examples": "n_examples",
    "training_loss": "loss",
    "training_sequence_accuracy": "sequence_accuracy",
    "training_token_accuracy": "token_accuracy",
}
LEGACY_VALID_COLUMNS = {
    "validation_loss": "valid_loss",
    "validation_sequence_accuracy": "valid_sequence_accuracy",
    "validation_token_accuracy": "valid_token_accuracy",
}


def write_result_file(*, job: Job, result: dict[str, Any]) -> File:
    """Write one row a step. What was not measured at a step is empty; the last row has the loss of the whole run's end."""
    columns = LEGACY_COLUMNS if job.is_legacy else COLUMNS
    if job.is_legacy and job.validation_file_id:
        columns = {**columns, **LEGACY_VALID_COLUMNS}
    points = loss_points(job)
    if points:
        measured = {name: result[name] for name in LEGACY_VALID_COLUMNS.values() if result.get(name) is not None}
        points[-1] = {**measured, **points[-1]}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for point in points:
        writer.writerow(_show(point.get(name)) for name in columns.values())
    return create_file(
        project=job.project,
        name="compiled_results.csv" if job.is_legacy else "step_metrics.csv",
        purpose=FilePurpose.RESULTS,
        chunks=[text.getvalue().encode()],
        by=job.created_by,
    )


def _show(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
