"""The addresses of /v1 for models, answers and feedback, without slashes at their ends."""

from django.urls import path

from common.wire import endpoint
from deployment.api import batch, chat, completion, document, feedback, model, stored

urlpatterns = [
    path("openapi.json", endpoint(GET=document.show)),
    path("models", endpoint(GET=model.index)),
    path("models/<path:name>", endpoint(GET=model.show, DELETE=model.delete)),
    path("engines", endpoint(GET=model.index)),
    path("engines/<path:name>/completions", endpoint(POST=completion.create)),
    path("engines/<path:name>", endpoint(GET=model.show)),
    path("chat/completions", endpoint(GET=stored.index, POST=chat.create)),
    path("chat/completions/<str:name>", endpoint(GET=stored.show, POST=stored.update, DELETE=stored.delete)),
    path("chat/completions/<str:name>/messages", endpoint(GET=stored.messages)),
    path("completions", endpoint(POST=completion.create)),
    path("batches", endpoint(GET=batch.index, POST=batch.create)),
    path("batches/<str:name>", endpoint(GET=batch.show)),
    path("batches/<str:name>/cancel", endpoint(POST=batch.cancel)),
    path("feedback", endpoint(POST=feedback.create)),
    path("feedback/<str:completion_id>", endpoint(GET=feedback.show)),
]
