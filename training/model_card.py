"""The card of a fine-tuned model: what a Hub reads from its head, and what a person reads below it."""

import json
from collections.abc import Mapping
from typing import Any

from training.models import TunedModel

METRICS = (
    "train_loss",
    "valid_loss",
    "valid_token_accuracy",
    "valid_sequence_accuracy",
    "train_margin",
    "valid_margin",
    "valid_preferred",
)
COUNTS = ("n_train", "n_valid", "n_dropped", "n_tokens", "n_steps")
MASKS = (
    "Only answers of the assistant were learnt, each with the one token that ends it; of a correction, the last answer "
    "alone. Text that spells a control token was encoded as plain text."
)


def write_model_card(model: TunedModel, *, result: Mapping[str, Any], step: int | None = None) -> str:
    """Return README.md; `step` is that of the checkpoint which it was made of, None for what the job ended with. In English, of frozen facts only and without a date: one model has one card for ever."""
    job, version, base_model = model.job, model.job.dataset_version, model.base_model
    licence = base_model.licence or "unknown"
    head = [
        "---",
        f"license: {json.dumps(licence.lower())}",
        f"base_model: {json.dumps(base_model.location)}",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags:",
        "- emend",
        f"- {job.method.replace('_', '-')}",
        f"dataset_sha256: {json.dumps(version.content_hash)}",
        "---",
    ]
    body = [
        "",
        f"# {model.name}",
        "",
        f"- Base model: {base_model.name} (`{base_model.location}`)",
        *([f"- Goes on from: {job.parent.name}"] if job.parent else []),
        f"- Dataset: {job.project.slug}, version {version.number}",
        f"- Content hash of the dataset (SHA-256): `{version.content_hash}`",
        f"- Method: {job.method}; weights that were trained: {result.get('tuning') or job.tuning}; seed: {job.seed}",
        *([f"- Recipe: {result['recipe']}"] if result.get("recipe") else []),
        *([f"- Checkpoint: after step {step} of {result.get('n_steps') or job.n_steps}"] if step else []),
        f"- Licence of the base model: {licence}",
        "",
        *_section("Hyperparameters", result.get("hyperparameters") or {}),
        *_section("Rows", {name: result[name] for name in COUNTS if result.get(name) is not None}),
        *_section("Measured", {} if step else {name: result[name] for name in METRICS if result.get(name) is not None}),
        "## What was learnt",
        "",
        MASKS,
        "",
    ]
    return "\n".join(head + body)


def _section(title: str, values: Mapping[str, Any]) -> list[str]:
    if not values:
        return []
    lines = [f"| `{name}` | {_show(values[name])} |" for name in sorted(values)]
    return [f"## {title}", "", "| | |", "|---|---|", *lines, ""]


def _show(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
