"""Traces over OTLP (HTTP), when DERMSYNTH_OTLP_ENDPOINT is set; else nothing is imported for them.

One trace leads from a request through the submission of its job to the claim and the run of every
attempt: the job's row keeps the W3C ``traceparent`` of its submission.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from core.config import Settings
from core.errors import Unavailable

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

PACKAGES = "opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
_provider: TracerProvider | None = None


def start(service: str, settings: Settings) -> None:
    """Begin to send spans to the address of the settings; nothing without one.

    Call it after a fork: the thread that sends does not survive one. Unavailable
    ``tracing_packages_missing`` without the extra ``otel``.
    """
    global _provider  # noqa: PLW0603 - one provider a process
    if not settings.otlp_endpoint or _provider is not None:
        return
    check(settings)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    _provider = TracerProvider(resource=Resource.create({"service.name": service}))
    address = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces"
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))


def check(settings: Settings) -> None:
    """Raise when traces are wanted and the packages for them are not installed."""
    if not settings.otlp_endpoint:
        return
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"DERMSYNTH_OTLP_ENDPOINT is set, but {error.name} is not installed. Install the extra "
            f"with pip install 'dermsynth3d[otel]' (or: pip install {PACKAGES}), or unset it.",
            code="tracing_packages_missing",
        ) from error


def stop() -> None:
    """Send what is left and end."""
    global _provider  # noqa: PLW0603
    if _provider is not None:
        _provider.shutdown()
        _provider = None


class Span:
    """A span that is under way; without tracing it takes everything and does nothing."""

    def __init__(self, real: Any = None) -> None:
        self._real = real

    def rename(self, name: str) -> None:
        if self._real is not None:
            self._real.update_name(name)

    def note(self, **attributes: str | int | float) -> None:
        """Set attributes; ``job_id`` becomes ``dermsynth.job_id``."""
        if self._real is not None:
            self._real.set_attributes({f"dermsynth.{k}": v for k, v in attributes.items()})

    def fail(self, why: str) -> None:
        if self._real is not None:
            from opentelemetry.trace import StatusCode

            self._real.set_status(StatusCode.ERROR, why)


@contextmanager
def span(
    name: str,
    *,
    parent: str | None = None,
    server: bool = False,
    began_ns: int | None = None,
    about: Mapping[str, str | int],
) -> Iterator[Span]:
    """Measure a block: below the span around it, or below ``parent``, a W3C traceparent.

    ``about`` becomes its attributes, as in :meth:`Span.note`.
    """
    if _provider is None:
        yield Span()
        return
    from opentelemetry.trace import SpanKind

    with _provider.get_tracer("dermsynth3d").start_as_current_span(
        name,
        context=_context(parent),
        kind=SpanKind.SERVER if server else SpanKind.INTERNAL,
        start_time=began_ns,
    ) as real:
        made = Span(real)
        made.note(**about)
        yield made


def current_span() -> Span:
    """Return the span around this code."""
    if _provider is None:
        return Span()
    from opentelemetry.trace import get_current_span

    return Span(get_current_span())


def traceparent() -> str | None:
    """Return the current span as a W3C traceparent; None without tracing."""
    if _provider is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def _context(parent: str | None) -> Context | None:
    if parent is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent})
