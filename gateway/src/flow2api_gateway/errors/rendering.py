"""The envelope of an error, by the protocol that the request speaks."""

from __future__ import annotations

from flow2api_common.errors import Flow2APIError
from flow2api_gateway.errors.google_errors import render_google_error
from flow2api_gateway.errors.openai_errors import RenderedError, render_openai_error
from flow2api_gateway.gemini.dialect import speaks_google


def render_error(error: Flow2APIError, *, path: str) -> RenderedError:
    """Google's envelope on Google's paths, OpenAI's everywhere else."""
    if speaks_google(path):
        return render_google_error(error, path=path)
    return render_openai_error(error, path=path)
