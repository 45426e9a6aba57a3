import hmac

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from deployment.metrics import expose


@never_cache
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """For a Prometheus server that has the token; to everybody else the address does not exist."""
    token = settings.METRICS_TOKEN
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not token or not hmac.compare_digest(given.encode(), token.encode()):
        raise Http404
    return HttpResponse(expose(), content_type=CONTENT_TYPE_LATEST)
