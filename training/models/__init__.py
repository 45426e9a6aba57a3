from training.models.benchmark import BenchmarkResult
from training.models.checkpoint import Checkpoint
from training.models.dataset import DatasetRow, DatasetVersion
from training.models.evaluation import Evaluation, EvaluationResult, GateLimits
from training.models.export import DatasetExport
from training.models.file import File
from training.models.job import Event, Job
from training.models.preflight import JobPreflight
from training.models.preset import Preset
from training.models.registry import BaseModel, ProjectBaseModel, TunedModel
from training.models.statistics import DatasetStatistics, RowFacts
from training.models.suite import BlindPair, OwnSuite

__all__ = [
    "BaseModel",
    "BenchmarkResult",
    "BlindPair",
    "Checkpoint",
    "DatasetExport",
    "DatasetRow",
    "DatasetStatistics",
    "DatasetVersion",
    "Evaluation",
    "EvaluationResult",
    "Event",
    "File",
    "GateLimits",
    "Job",
    "JobPreflight",
    "OwnSuite",
    "Preset",
    "ProjectBaseModel",
    "RowFacts",
    "TunedModel",
]
