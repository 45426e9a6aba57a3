from deployment.models.alert import Alert, AlertRule
from deployment.models.batch import Batch
from deployment.models.cycle import Cycle
from deployment.models.detection import Detection, DetectorSettings
from deployment.models.engine import OutsideEngine, ServedModel
from deployment.models.explanation import Explanation
from deployment.models.judge import Judge, JudgeVerdict
from deployment.models.log import LogSettings
from deployment.models.policy import CyclePolicy
from deployment.models.release import Deployment, DeploymentChange
from deployment.models.shadow import ShadowAnswer
from deployment.models.traffic import Completion, Conversation

__all__ = [
    "Alert",
    "AlertRule",
    "Batch",
    "Completion",
    "Conversation",
    "Cycle",
    "CyclePolicy",
    "Deployment",
    "DeploymentChange",
    "Detection",
    "DetectorSettings",
    "Explanation",
    "Judge",
    "JudgeVerdict",
    "LogSettings",
    "OutsideEngine",
    "ServedModel",
    "ShadowAnswer",
]
