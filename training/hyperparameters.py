"""The table of hyperparameters, which belongs to the trainer. It imports nothing of machine learning."""

from ml.hyperparameters import AUTO, BY_NAME, HYPERPARAMETERS, MANY_ROWS, Hyperparameter

__all__ = ["AUTO", "BY_NAME", "HYPERPARAMETERS", "MANY_ROWS", "Hyperparameter", "of_method"]


def of_method(method: str) -> list[Hyperparameter]:
    """Return those that have an effect in jobs of the method."""
    return [each for each in HYPERPARAMETERS if not each.methods or method in each.methods]
