"""A span for each answer, for whoever collects OpenTelemetry traces: from a completion back to the model that wrote it.

Off unless EMEND_OTLP_URL says where to; then `pip install '.[otel]'` is needed. The names of the attributes are those of the
semantic conventions for generative AI; what people wrote is not among them.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from deployment.models import Completion
from deployment.states import CompletionState

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from deployment.gateway import Route

SAMPLING = ("temperature", "top_p", "max_tokens", "seed", "frequency_penalty", "presence_penalty")


def begin(completion: Completion, route: "Route") -> "Span | None":
    """Return the span of an answer that begins, in the trace of the request where it came with one; None where tracing is off."""
    tracer = _tracer()
    if tracer is None:
        return None
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    asked = completion.parameters.get("model") or route.name
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "emend",
        "gen_ai.request.model": asked,
        "gen_ai.response.model": route.name,
        "gen_ai.response.id": completion.key,
        "emend.project": completion.project.slug,
        "emend.deployment": route.deployment.name if route.deployment else "",
        "emend.engine": "outside" if route.place else "embedded",
        "emend.job": route.tuned_model.job.key if route.tuned_model and route.tuned_model.job else "",
        **{
            f"gen_ai.request.{name}": completion.parameters[name]
            for name in SAMPLING
            if isinstance(completion.parameters.get(name), int | float)
        },
    }
    parent = TraceContextTextMapPropagator().extract({"traceparent": route.traceparent}) if route.traceparent else None
    return tracer.start_span(f"chat {asked}", context=parent, kind=SpanKind.SERVER, attributes=attributes)


def end(span: "Span | None", fields: dict[str, Any]) -> None:
    """Close the span with what became of the answer."""
    if span is None:
        return
    from opentelemetry.trace import Status, StatusCode

    known = {
        "gen_ai.usage.input_tokens": fields.get("n_prompt_tokens"),
        "gen_ai.usage.output_tokens": fields.get("n_completion_tokens"),
        "gen_ai.server.time_to_first_token": fields.get("time_to_first_token_s"),
    }
    span.set_attributes({name: value for name, value in known.items() if value is not None})
    span.set_attribute("gen_ai.response.finish_reasons", [fields.get("finish_reason") or str(fields["state"])])
    if fields["state"] == CompletionState.FAILED:
        span.set_status(Status(StatusCode.ERROR, str(fields.get("error", ""))[:200]))
    span.end()


@cache
def _tracer() -> Any:
    if not settings.OTLP_URL:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "emend"}))
    exporter = OTLPSpanExporter(endpoint=f"{settings.OTLP_URL.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider.get_tracer("emend")
