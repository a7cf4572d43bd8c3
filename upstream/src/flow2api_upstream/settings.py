"""Where the upstreams are, and how patiently and how widely they are called."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from flow2api_common.settings import BaseServiceSettings, Duration

_STORAGE_URI = re.compile(r"gs://[a-z0-9][a-z0-9._-]+[a-z0-9]/(.*/)?")


def _check_storage_uri(uri: str) -> str:
    if uri and _STORAGE_URI.fullmatch(uri) is None:
        raise ValueError("must be like gs://bucket/prefix/, with a slash at the end")
    return uri


class UpstreamSettings(BaseServiceSettings):
    """The settings of every provider client; read from ``FLOW2API_…``."""

    flow_labs_url: str = Field("https://labs.google/fx/api", description="Flow, session side.")
    flow_api_url: str = Field("https://aisandbox-pa.googleapis.com/v1", description="Flow, API side.")
    gemini_url: str = Field("https://generativelanguage.googleapis.com", description="Gemini Developer API.")
    vertex_url: str = Field("", description="Vertex AI; when set it replaces the host of every location.")
    google_token_url: str = Field("https://oauth2.googleapis.com/token", description="Where JWTs buy bearers.")
    google_metadata_url: str = Field(
        "http://metadata.google.internal", description="Metadata server: tokens of the machine's own service account."
    )
    google_storage_url: str = Field("https://storage.googleapis.com", description="Cloud Storage: clips in buckets.")
    google_application_credentials: str = Field(
        "",
        description="File that Vertex tokens of the type `application_default` use; without it, the metadata server.",
    )
    vertex_storage_uri: Annotated[str, AfterValidator(_check_storage_uri)] = Field(
        "", description="`gs://bucket/prefix/` where Vertex puts its clips; without it they come inside answers."
    )
    vertex_probe_model: str = Field(
        "gemini-3.1-flash-image", description="Model that a Vertex credential is proved with; its tokens are counted."
    )

    upstream_impersonate: str = Field(
        "chrome", description="Browser whose TLS and HTTP/2 form curl_cffi takes; empty for plain curl."
    )
    upstream_connect_timeout: Duration = Field(timedelta(seconds=10), description="DNS, proxy, TCP and TLS together.")
    upstream_timeout: Duration = Field(timedelta(seconds=30), description="One control call, from start to end.")
    upload_timeout: Duration = Field(timedelta(seconds=90), description="One picture on its way up.")
    image_timeout: Duration = Field(timedelta(seconds=120), description="One picture being made or enlarged.")
    video_submit_timeout: Duration = Field(timedelta(seconds=90), description="One clip being handed in.")
    download_idle_timeout: Duration = Field(
        timedelta(seconds=60), description="A download is given up after this long without a byte."
    )
    upstream_pool_size: int = Field(256, ge=1, description="Calls at the same time per proxy.")
    upstream_max_sessions: int = Field(64, ge=1, description="Connection pools kept, one per proxy.")
    upstream_max_answer_bytes: int = Field(96 * 1024 * 1024, ge=1024, description="Largest answer read into memory.")
    upstream_max_media_bytes: int = Field(2 * 1024 * 1024 * 1024, ge=1024, description="Largest file downloaded.")
