from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from deployment.health import read_health


@never_cache
@require_safe
def show(request: HttpRequest) -> JsonResponse:
    """For machines: 200 while the pages work, 503 without the database."""
    health = read_health()
    return JsonResponse(health, status=503 if health["status"] == "down" else 200)
