"""The addresses of /v1, without slashes at their ends."""

from django.urls import path

from common.wire import endpoint
from deployment.api import model

urlpatterns = [
    path("models", endpoint(GET=model.index)),
    path("models/<path:name>", endpoint(GET=model.show)),
]
