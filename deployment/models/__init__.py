from deployment.models.cycle import Cycle
from deployment.models.release import Deployment, DeploymentChange
from deployment.models.traffic import Completion, Conversation

__all__ = ["Completion", "Conversation", "Cycle", "Deployment", "DeploymentChange"]
