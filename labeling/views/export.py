"""Downloads. They are written while they are read, whatever their size."""

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from labeling.actions.export import FORMATS, export_submissions
from labeling.queries import require_member
from labeling.states import Role


@require_GET
@login_required
def submission_export(request: HttpRequest, slug: str) -> HttpResponseBase:
    """All submissions of the project, oldest first: `format` is csv or jsonl."""
    membership = require_member(request, slug, Role.REVIEWER)
    wanted = request.GET.get("format", "")
    kind = wanted if wanted in FORMATS else "csv"
    name = f"{slug}-submissions-{timezone.now():%Y-%m-%d}.{kind}"
    chunks = export_submissions(project=membership.project, kind=kind)
    return StreamingHttpResponse(
        _in_turn(chunks), content_type=FORMATS[kind], headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


async def _in_turn(chunks: Iterator[str]) -> AsyncIterator[str]:
    """Fetch each chunk in the request's thread when the last one is on its way; a plain iterator would be read at once."""
    fetch = sync_to_async(lambda: next(chunks, None))
    while (chunk := await fetch()) is not None:
        yield chunk
