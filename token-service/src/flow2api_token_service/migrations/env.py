"""Runs the revisions; see flow2api_common.migrations."""

from alembic import context

from flow2api_common.migrations import run_env
from flow2api_token_service.models_base import SCHEMA
from flow2api_token_service.tables import METADATA

run_env(context, METADATA, SCHEMA)
