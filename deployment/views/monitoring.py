"""How a project's traffic goes, at a glance."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from common.charts import bar_chart
from common.htmx import render_page
from deployment.models import Alert, Completion
from deployment.queries.alert import say_alert
from deployment.queries.monitoring import PERIODS, Figures, monitor
from labeling.queries import require_member
from labeling.states import Role


@require_GET
@login_required
def show(request: HttpRequest, slug: str) -> HttpResponse:
    """Traffic, speed, bad answers and cases of the last hours, days or months."""
    membership = require_member(request, slug, Role.REVIEWER)
    project = membership.project
    period = next((each for each in PERIODS if each.key == request.GET.get("period")), PERIODS[1])
    names = Completion.objects.filter(project=project, deployment__isnull=False).order_by("model_name")
    models = list(names.values_list("model_name", flat=True).distinct())
    model_name = request.GET.get("model", "")
    figures = monitor(project, period, model_name=model_name if model_name in models else "")
    alerts = Alert.objects.visible_to(membership).open().select_related("project")
    context = {
        "period": period,
        "periods": PERIODS,
        "models": models,
        "model_name": model_name,
        "figures": figures,
        "charts": _charts(figures.parts),
        "alerts": [(alert, say_alert(alert)) for alert in alerts],
    }
    return render_page(request, "deployment/monitoring_show.html", context, fragment="deployment/_monitoring.html")


def _charts(parts: list[Figures]) -> list[dict[str, object]]:
    shares = [part.bad for part in parts]
    charts = [
        (_("Answers"), bar_chart([(part.name, part.n) for part in parts])),
        (
            _("Percent of the conversations with a bad answer, and the interval"),
            bar_chart(
                [(part.name, 100 * share.value if share else 0) for part, share in zip(parts, shares, strict=True)],
                is_whole=False,
                intervals=[(100 * share.low, 100 * share.high) if share else None for share in shares],
            ),
        ),
        (
            _("Seconds to the first word, median"),
            bar_chart([(part.name, part.first_token[0] if part.first_token else 0) for part in parts], is_whole=False),
        ),
        (_("Tokens written"), bar_chart([(part.name, part.n_written) for part in parts])),
    ]
    return [{"title": title, "chart": chart} for title, chart in charts if chart is not None]
