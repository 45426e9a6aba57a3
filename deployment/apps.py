from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import Error, register


class DeploymentConfig(AppConfig):
    name = "deployment"

    def ready(self) -> None:
        register(check_tracing)


def check_tracing(**_options: Any) -> list[Error]:
    """An address for spans without the packages that send them would fail at the first answer."""
    if settings.OTLP_URL and find_spec("opentelemetry") is None:
        return [Error("EMEND_OTLP_URL is set, and what it needs is not installed.", hint="pip install '.[otel]'")]
    return []
