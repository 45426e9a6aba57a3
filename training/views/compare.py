from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from common.htmx import render_page
from labeling.queries import require_member
from labeling.states import Role
from training.curves import curves, differences
from training.models import Job
from training.queries import loss_points

MAX_JOBS = 3


@require_GET
@login_required
def job_compare(request: HttpRequest, slug: str) -> HttpResponse:
    """The curves of up to three jobs in one plot, and what differs between them; keys of other projects are left out."""
    membership = require_member(request, slug, Role.ADMIN)
    visible = Job.objects.visible_to(membership).select_related("dataset_version", "base_model", "parent")
    asked = request.GET.getlist("job")
    jobs = list(visible.filter(key__in=asked).order_by("pk")[:MAX_JOBS])
    started = [job.events.filter(code="started").order_by("number").first() for job in jobs]
    context = {
        "jobs": jobs,
        "others": visible.exclude(key__in=[job.key for job in jobs])[:20],
        "n_left_out": max(0, len(set(asked)) - len(jobs)),
        "max_jobs": MAX_JOBS,
        "differences": differences(jobs, [event.data if event else {} for event in started]),
        "curves": curves([(job.key, loss_points(job)) for job in jobs]),
    }
    return render_page(request, "training/job_compare.html", context)
