"""Where the upstreams are, and how patiently and how widely they are called."""

from datetime import timedelta

from pydantic import Field

from flow2api_common.settings import BaseServiceSettings, Duration


class UpstreamSettings(BaseServiceSettings):
    """The settings of every provider client; read from ``FLOW2API_…``."""

    flow_labs_url: str = Field("https://labs.google/fx/api", description="Flow, session side.")
    flow_api_url: str = Field("https://aisandbox-pa.googleapis.com/v1", description="Flow, API side.")
    gemini_url: str = Field("https://generativelanguage.googleapis.com", description="Gemini Developer API.")
    vertex_url: str = Field("", description="Vertex AI; when set it replaces the host of every location.")
    google_token_url: str = Field("https://oauth2.googleapis.com/token", description="Where JWTs buy bearers.")

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
