"""All tables of the service, for migrations: importing the models registers them."""

from __future__ import annotations

from flow2api_token_service.access import models as access_models
from flow2api_token_service.audit import models as audit_models
from flow2api_token_service.health import models as health_models
from flow2api_token_service.models_base import Base
from flow2api_token_service.proxies import models as proxy_models
from flow2api_token_service.secrets import models as secret_models
from flow2api_token_service.stats import models as stats_models
from flow2api_token_service.tokens import models as token_models

__all__ = [
    "METADATA",
    "access_models",
    "audit_models",
    "health_models",
    "proxy_models",
    "secret_models",
    "stats_models",
    "token_models",
]

METADATA = Base.metadata
