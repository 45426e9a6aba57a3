from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from common.htmx import render_page
from deployment.forms.api_key import ApiKeyForm
from deployment.queries import keys_with_usage
from labeling.actions.api_key import create_key, revoke_key
from labeling.models import ApiKey, Membership
from labeling.queries import require_member
from labeling.states import Role

SHOWN_ONCE = "new_api_key"


@require_GET
@login_required
@never_cache
def index(request: HttpRequest, slug: str) -> HttpResponse:
    """The project's keys, what they were used for, and the key that was just made."""
    membership = require_member(request, slug, Role.ADMIN)
    return _page(request, membership, ApiKeyForm())


@require_POST
@login_required
def create(request: HttpRequest, slug: str) -> HttpResponse:
    """Make a key; it is shown once, on the next page."""
    membership = require_member(request, slug, Role.ADMIN)
    form = ApiKeyForm(request.POST)
    if not form.is_valid():
        return _page(request, membership, form, status=422)
    days = form.cleaned_data["days"]
    _key, text = create_key(
        project=membership.project,
        user=membership.user,
        name=form.cleaned_data["name"],
        scopes=form.cleaned_data["scopes"],
        expires_at=timezone.now() + timedelta(days=days) if days else None,
    )
    request.session[SHOWN_ONCE] = text
    return redirect("deployment-key-list", slug)


@require_POST
@login_required
def revoke(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    key = get_object_or_404(ApiKey.objects.visible_to(membership), pk=pk)
    revoke_key(key=key, by=membership.user)
    messages.success(request, _("The key “%(name)s” no longer works.") % {"name": key.name})
    return redirect("deployment-key-list", slug)


def _page(request: HttpRequest, membership: Membership, form: ApiKeyForm, status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "keys": keys_with_usage(membership),
        "new_key": request.session.pop(SHOWN_ONCE, None),
        "base_url": request.build_absolute_uri("/v1"),
        "limit": settings.API_REQUESTS_PER_MINUTE,
    }
    return render_page(request, "deployment/key_list.html", context, status=status)
