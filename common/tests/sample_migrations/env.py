"""As the env.py of a service."""

from alembic import context
from sqlalchemy import MetaData

from flow2api_common.migrations import run_env

run_env(context, MetaData(schema="sample"), "sample")
