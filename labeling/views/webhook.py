"""Webhooks: which addresses are told what, and the log of what was sent."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from common.htmx import render_page
from common.pagination import paginate
from labeling.actions.errors import BadAddress
from labeling.actions.webhook import add_webhook, change_webhook, delete_webhook, send_again, send_test
from labeling.forms.webhook import WebhookEditForm, WebhookForm
from labeling.models import WebhookDelivery
from labeling.queries import require_member
from labeling.states import Role

SHOWN_ONCE = "new_webhook_secret"


@require_http_methods(["GET", "POST"])
@never_cache
@login_required
def webhook_list(request: HttpRequest, slug: str) -> HttpResponse:
    """The project's webhooks; POST adds one, whose secret is shown once on its page."""
    membership = require_member(request, slug, Role.ADMIN)
    form = WebhookForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            webhook, secret = add_webhook(project=membership.project, by=membership.user, **form.cleaned_data)
        except BadAddress as error:
            form.add_error("url", str(error))
        else:
            request.session[SHOWN_ONCE] = [webhook.pk, secret]
            return redirect("labeling-webhook-show", slug, webhook.pk)
    context = {"form": form, "webhooks": membership.project.webhooks.all()}
    return render_page(request, "labeling/webhook_list.html", context, status=422 if request.method == "POST" else 200)


@require_http_methods(["GET", "POST"])
@never_cache
@login_required
def webhook_show(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """One webhook with its log; POST changes it."""
    membership = require_member(request, slug, Role.ADMIN)
    webhook = get_object_or_404(membership.project.webhooks, pk=pk)
    initial = {"url": webhook.url, "events": webhook.events, "is_active": webhook.is_active}
    form = WebhookEditForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_valid():
        try:
            change_webhook(webhook=webhook, by=membership.user, **form.cleaned_data)
        except BadAddress as error:
            form.add_error("url", str(error))
        else:
            messages.success(request, _("The webhook is saved."))
            return redirect("labeling-webhook-show", slug, pk)
    new_pk, secret = request.session.pop(SHOWN_ONCE, [None, ""])
    context = {
        "webhook": webhook,
        "form": form,
        "secret": secret if new_pk == webhook.pk else "",
        "page": paginate(request, webhook.deliveries.order_by("-pk"), size=20),
    }
    return render_page(request, "labeling/webhook_show.html", context, status=422 if request.method == "POST" else 200)


@require_POST
@login_required
def webhook_delete(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    delete_webhook(webhook=get_object_or_404(membership.project.webhooks, pk=pk), by=membership.user)
    messages.success(request, _("The webhook is deleted."))
    return redirect("labeling-webhook-list", slug)


@require_POST
@login_required
def webhook_test(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Send a message that only says hello."""
    membership = require_member(request, slug, Role.ADMIN)
    send_test(webhook=get_object_or_404(membership.project.webhooks.select_related("project"), pk=pk))
    messages.success(request, _("A test is on its way. Its line in the log says what came of it."))
    return redirect("labeling-webhook-show", slug, pk)


@require_POST
@login_required
def delivery_again(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    membership = require_member(request, slug, Role.ADMIN)
    rows = WebhookDelivery.objects.filter(webhook__project=membership.project)
    delivery = get_object_or_404(rows, pk=pk)
    send_again(delivery=delivery)
    messages.success(request, _("It is sent again."))
    return redirect("labeling-webhook-show", slug, delivery.webhook_id)
