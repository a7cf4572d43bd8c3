"""Logging: constant event names with scalar fields, as JSON lines or for the console, never with a secret in them.

Everything goes to standard error, also what libraries log through the standard `logging` module. Context that is bound
with ``structlog.contextvars`` (the request id) is in every entry below it.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TypeAlias, cast

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from flow2api_common.redaction import redact, redact_field
from flow2api_common.settings import BaseServiceSettings

__all__ = ["Logger", "configure_logging", "get_logger", "redact"]

Logger: TypeAlias = FilteringBoundLogger

_OUR_FIELDS = frozenset({"level", "timestamp", "service", "logger"})

# Libraries whose information is noise at our own level; their warnings stay.
_NOISY_LOGGERS = (
    "nats",
    "asyncio",
    "alembic",
    "sqlalchemy",
    "httpx",
    "httpcore",
    "opentelemetry",
    "grpc",
    "uvicorn.access",
)


def configure_logging(settings: BaseServiceSettings, service: str) -> None:
    """Set up logging of this process, once, before anything else; a repeat replaces what was set up."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared = _shared_processors(service)
    renderer = _renderer(settings.log_format)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def get_logger(name: str) -> Logger:
    """A logger for a module: ``get_logger(__name__)``. It may be made before `configure_logging` is called."""
    return cast("Logger", structlog.get_logger(logger_name=name))


def _shared_processors(service: str) -> list[Processor]:
    def add_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_service,
        _name_logger,
        _add_trace,
        structlog.processors.StackInfoRenderer(),
        # The traceback becomes text here, so that what stands in it is redacted as well; locals are never printed.
        structlog.processors.format_exc_info,
        redact_event,
    ]


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The processor that takes the secrets out of an entry."""
    redacted: MutableMapping[str, Any] = {}
    for name, value in event.items():
        redacted[name] = value if name in _OUR_FIELDS or name.startswith("_") else redact_field(name, value)
    return redacted


def _name_logger(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    name = event.pop("logger_name", None)
    if name is not None:
        event["logger"] = name
    return event


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
    return event


def _renderer(log_format: str) -> Processor:
    if log_format == "console":
        return structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.processors.JSONRenderer(serializer=_to_json)


def _to_json(event: EventDict, **_options: object) -> str:
    return json.dumps(event, ensure_ascii=False, default=str, separators=(",", ":"))
