from training.models.dataset import DatasetRow, DatasetVersion
from training.models.evaluation import Evaluation, EvaluationResult
from training.models.export import DatasetExport
from training.models.file import File
from training.models.job import Event, Job
from training.models.preflight import JobPreflight
from training.models.preset import Preset
from training.models.registry import BaseModel, ProjectBaseModel, TunedModel

__all__ = [
    "BaseModel",
    "DatasetExport",
    "DatasetRow",
    "DatasetVersion",
    "Evaluation",
    "EvaluationResult",
    "Event",
    "File",
    "Job",
    "JobPreflight",
    "Preset",
    "ProjectBaseModel",
    "TunedModel",
]
