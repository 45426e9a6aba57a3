"""What became of accepted texts, for the page My work, which asks for it when it is shown."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from common.htmx import render_page
from labeling.queries import require_member
from training.queries import submission_uses as uses

AT_MOST = 50  # texts on one page


@require_GET
@login_required
def submission_uses(request: HttpRequest, slug: str) -> HttpResponse:
    """A line for each `submission` of the person's own: the dataset versions that it is in, the models that learnt it."""
    membership = require_member(request, slug)
    wanted = [
        int(value) for value in request.GET.getlist("submission")[:AT_MOST] if value.isdecimal() and len(value) < 19
    ]
    template = "training/_submission_uses.html"
    return render_page(request, template, {"uses": uses(membership, wanted)}, fragment=template)
