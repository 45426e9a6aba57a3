"""The addresses of /v1 for models, answers and feedback, without slashes at their ends."""

from django.urls import path

from common.wire import endpoint
from deployment.api import chat, completion, model

urlpatterns = [
    path("models", endpoint(GET=model.index)),
    path("models/<path:name>", endpoint(GET=model.show, DELETE=model.delete)),
    path("engines", endpoint(GET=model.index)),
    path("engines/<path:name>/completions", endpoint(POST=completion.create)),
    path("engines/<path:name>", endpoint(GET=model.show)),
    path("chat/completions", endpoint(POST=chat.create)),
    path("completions", endpoint(POST=completion.create)),
]
