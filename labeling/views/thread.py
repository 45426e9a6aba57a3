"""What author and reviewers say to each other about a text."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from common.htmx import render_page
from labeling.actions.errors import CommentNeeded
from labeling.actions.thread import add_comment, conversation_about, read_comments
from labeling.models import Submission
from labeling.queries import require_member


@require_POST
@login_required
def comment_add(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Answer in the talk about a submission; the author and the project's reviewers may."""
    membership = require_member(request, slug)
    submission = get_object_or_404(Submission.objects.visible_to(membership), pk=pk)
    problem = ""
    try:
        add_comment(submission=submission, by=membership.user, text=request.POST.get("text", ""))
        read_comments(submission=submission, by=membership.user)
    except CommentNeeded:
        problem = _("Write something first.")
    is_own = submission.author_id == membership.user_id
    if not request.htmx:  # type: ignore[attr-defined]
        messages.add_message(
            request, messages.ERROR if problem else messages.SUCCESS, problem or _("Your answer is there.")
        )
        if is_own:
            response = redirect("labeling-submission-list", slug)
            response["Location"] += f"?state={submission.state}#submission-{submission.pk}"
            return response
        return redirect("labeling-review-submission", slug, pk)
    rows = conversation_about(submission)
    context = {"submission": submission, "thread": rows.public() if is_own else rows, "problem": problem}
    return render_page(request, "labeling/_thread.html", context, status=422 if problem else 200)
