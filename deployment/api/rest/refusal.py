"""What the actions of deployments refuse, in the shape of /api/v1."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from rest_framework import exceptions, serializers

from deployment.actions.errors import DeploymentError, OverrideNeedsReason


class Refused(exceptions.APIException):
    status_code = 409

    def __init__(self, error: DeploymentError):
        super().__init__(str(error))
        self.default_code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()


@contextmanager
def refusals() -> Iterator[None]:
    """Within, what an action raises becomes 409, and a missing reason 422 of the field."""
    try:
        yield
    except OverrideNeedsReason as error:
        raise serializers.ValidationError({"reason": [str(error)]}) from error
    except DeploymentError as error:
        raise Refused(error) from error
