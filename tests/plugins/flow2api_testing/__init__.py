"""The project's pytest plugin: real servers, settings and helpers that every test may ask for.

Servers start when a test first asks for one, in pytest's main thread, and end with it, also on ``kill -9``.
"""

from flow2api_testing.folders import (
    pytest_collection_modifyitems,
    pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler,
)
from flow2api_testing.garbage import pytest_collection_finish
from flow2api_testing.own_redis import own_redis
from flow2api_testing.pool_time import pool_time
from flow2api_testing.pool_watch import pool_watch
from flow2api_testing.proxies import start_proxy
from flow2api_testing.s3 import s3, s3_server
from flow2api_testing.servers import (
    database_url,
    nats_url,
    postgres_server,
    postgres_url,
    redis_server,
    redis_url,
    sqlite_url,
)
from flow2api_testing.settings import media_url, secret_key, service_token
from flow2api_testing.upstreams import sandbox, upstream_settings

__all__ = [
    "database_url",
    "media_url",
    "nats_url",
    "own_redis",
    "pool_time",
    "pool_watch",
    "postgres_server",
    "postgres_url",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_xdist_auto_num_workers",
    "pytest_xdist_make_scheduler",
    "redis_server",
    "redis_url",
    "s3",
    "s3_server",
    "sandbox",
    "secret_key",
    "service_token",
    "sqlite_url",
    "start_proxy",
    "upstream_settings",
]
