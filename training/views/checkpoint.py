"""A checkpoint of a job becomes a model."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from labeling.queries import require_member
from labeling.states import Role
from training.actions.checkpoint import request_model
from training.actions.errors import NotPossible
from training.models import Checkpoint, Job


@require_POST
@login_required
def checkpoint_model(request: HttpRequest, slug: str, key: str, step: int) -> HttpResponse:
    """Have it made a model; the page of the job tells when it is one."""
    membership = require_member(request, slug, Role.ADMIN)
    jobs = Job.objects.visible_to(membership)
    checkpoint = get_object_or_404(
        Checkpoint.objects.filter(job__in=jobs).select_related("job"), job__key=key, step=step
    )
    try:
        request_model(checkpoint=checkpoint, by=membership.user)
    except NotPossible as error:
        messages.error(request, str(error))
    return redirect("training-job-show", slug, key)
