"""The addresses of /v1 for files and fine-tuning, without slashes at their ends."""

from django.urls import path

from common.wire import endpoint
from training.api import file, fine_tune, job

urlpatterns = [
    path("files", endpoint(GET=file.index, POST=file.create)),
    path("files/<path:name>/content", endpoint(GET=file.content)),
    path("files/<path:name>", endpoint(GET=file.show, DELETE=file.delete)),
    path("fine_tuning/jobs", endpoint(GET=job.index, POST=job.create)),
    path("fine_tuning/jobs/<str:name>", endpoint(GET=job.show)),
    path("fine_tuning/jobs/<str:name>/cancel", endpoint(POST=job.cancel)),
    path("fine_tuning/jobs/<str:name>/pause", endpoint(POST=job.pause)),
    path("fine_tuning/jobs/<str:name>/resume", endpoint(POST=job.resume)),
    path("fine_tuning/jobs/<str:name>/events", endpoint(GET=job.events)),
    path("fine_tuning/jobs/<str:name>/checkpoints", endpoint(GET=job.checkpoints)),
    path("fine-tunes", endpoint(GET=fine_tune.index, POST=fine_tune.create)),
    path("fine-tunes/<str:name>", endpoint(GET=fine_tune.show, DELETE=fine_tune.delete)),
    path("fine-tunes/<str:name>/cancel", endpoint(POST=fine_tune.cancel)),
    path("fine-tunes/<str:name>/events", endpoint(GET=fine_tune.events)),
]
