from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deployment.models import Cycle


class DeploymentError(Exception):
    """What goes wrong while models are deployed and asked. `str(error)` is a sentence for people.

    DeploymentError
    ├── EngineError              the engine answered with an error of its own
    │   ├── EngineAway           nothing answers at the engine's address
    │   ├── EngineBusy           it has no room for one more request now
    │   ├── ContextTooLong       the conversation leaves no room for an answer
    │   └── ModelNotLoadable     it cannot load this model: no folder, no memory, broken weights
    ├── NameTaken                an engine of that name is there already
    ├── UnknownTarget            nobody of that name can be asked
    ├── AlreadySent              the same message was sent before: a double click, a reload
    ├── NotAnswered              there is no text that could be rated or reported
    ├── ReleaseError             the deployment was not changed
    │   ├── AlreadyLive          the model is live already
    │   ├── ModelIsLive          a deployment answers with the model, so it cannot be deleted
    │   ├── OverrideNeedsReason  the gate did not pass and nobody said why to deploy all the same
    │   ├── ReleaseConflict      somebody else changed the deployment first
    │   ├── NothingToRollBack    there is no earlier model
    │   └── NoCandidate          no model is beside the live one
    ├── JudgedAlready            somebody else judged the candidate's answer first
    ├── BatchEnded               the batch is over, it cannot be cancelled
    └── CycleError
        ├── CycleAtWork          a cycle is at work in the project; field `cycle`
        └── CycleEnded           the cycle is over, it cannot be stopped
    """


class EngineError(DeploymentError):
    pass


class EngineAway(EngineError):
    pass


class EngineBusy(EngineError):
    pass


class ContextTooLong(EngineError):
    pass


class ModelNotLoadable(EngineError):
    pass


class NameTaken(DeploymentError):
    pass


class UnknownTarget(DeploymentError):
    pass


class AlreadySent(DeploymentError):
    pass


class NotAnswered(DeploymentError):
    pass


class ReleaseError(DeploymentError):
    pass


class AlreadyLive(ReleaseError):
    pass


class ModelIsLive(ReleaseError):
    pass


class OverrideNeedsReason(ReleaseError):
    pass


class ReleaseConflict(ReleaseError):
    pass


class NothingToRollBack(ReleaseError):
    pass


class JudgedAlready(DeploymentError):
    pass


class NoCandidate(ReleaseError):
    pass


class BatchEnded(DeploymentError):
    pass


class CycleError(DeploymentError):
    pass


class CycleAtWork(CycleError):
    def __init__(self, message: str, *, cycle: "Cycle") -> None:
        super().__init__(message)
        self.cycle = cycle


class CycleEnded(CycleError):
    pass
