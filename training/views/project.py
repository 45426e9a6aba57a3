from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from common.htmx import STOP_POLLING, render_page
from labeling.queries import require_member
from labeling.states import Role
from training.models import Job
from training.queries import newest_model, unfrozen_examples
from training.states import JOB_ENDED, JobState


@require_GET
@login_required
def project_summary(request: HttpRequest, slug: str) -> HttpResponse:
    """A piece of the admin's home: what is new since the last dataset version, the last job, the button Train."""
    membership = require_member(request, slug, Role.ADMIN)
    job = (
        Job.objects.visible_to(membership)
        .select_related("dataset_version", "tuned_model", "preflight")
        .order_by("-pk")
        .first()
    )
    is_at_work = job is not None and job.state not in (*JOB_ENDED, JobState.PAUSED) and not job.waits_for_start
    context = {
        "job": job,
        "is_at_work": is_at_work,
        "n_unfrozen": unfrozen_examples(membership.project).count(),
        "version": membership.project.dataset_versions.own().order_by("-number").first(),
        "model": newest_model(membership.project),
    }
    status = 200 if is_at_work or not request.htmx else STOP_POLLING  # type: ignore[attr-defined]
    template = "training/_project_summary.html"
    return render_page(request, template, context, fragment=template, status=status)
