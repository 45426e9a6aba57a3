"""Training, evaluation and serving of language models. Knows run directories and model folders, nothing of Django."""
