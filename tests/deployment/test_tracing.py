"""Spans of answers, as a collector gets them."""

from contextlib import aclosing
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from deployment import tracing
from deployment.actions.errors import EngineAway
from deployment.gateway import find_route, generate, open_completion
from deployment.models import Completion

pytestmark = pytest.mark.django_db(transaction=True)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans(settings, monkeypatch) -> InMemorySpanExporter:
    settings.OTLP_URL = "http://127.0.0.1:4318"
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", lambda: provider.get_tracer("test"))
    return exporter


async def read(project, *, traceparent: str = "") -> Completion:
    def opened():
        route = replace(find_route(project=project, target="assistant"), traceparent=traceparent)
        said = [{"role": "user", "content": "A secret"}]
        parameters = {"temperature": 0, "model": "assistant"}
        return route, open_completion(route=route, project=project, messages=said, parameters=parameters)

    route, completion = await sync_to_async(opened)()
    async with aclosing(generate(completion=completion, route=route)) as pieces:
        async for _piece in pieces:
            pass
    return completion


async def test_a_span_leads_from_a_completion_to_its_model(spans, engine, deployment, project) -> None:
    completion = await read(project, traceparent=PARENT)
    (span,) = spans.get_finished_spans()
    found = dict(span.attributes)
    assert (found["gen_ai.response.id"], found["gen_ai.request.model"]) == (completion.key, "assistant")
    assert (found["gen_ai.response.model"], found["emend.deployment"]) == (deployment.live_name, "assistant")
    assert found["gen_ai.usage.output_tokens"] == completion.n_completion_tokens
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]
    assert not any("secret" in str(value) for value in found.values())


async def test_a_failed_answer_is_an_error(spans, deployment, project) -> None:
    with pytest.raises(EngineAway):
        await read(project)
    (span,) = spans.get_finished_spans()
    assert span.status.status_code == StatusCode.ERROR
    assert span.attributes["gen_ai.response.finish_reasons"] == ("failed",)


def test_without_an_address_nothing_is_told(settings) -> None:
    settings.OTLP_URL = ""
    tracing._tracer.cache_clear()
    assert tracing._tracer() is None
    tracing.end(None, {})
