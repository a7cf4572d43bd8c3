"""``countTokens``: what a prompt would count for, free of charge.

Source: docs/upstream/google-official.md, section 4.
"""

from starlette.responses import Response

from flow2api_sandbox.calls import Call, Handler
from flow2api_sandbox.gemini.candidates import text_tokens
from flow2api_sandbox.gemini.models import IMAGE_MODELS
from flow2api_sandbox.gemini.picture_api import PictureApi
from flow2api_sandbox.wire import json_response


def count_tokens(api: PictureApi) -> Handler:
    """The handler for the models that make pictures."""

    async def handle(call: Call) -> Response:
        caller = api.identify(call)
        model_id = call.request.path_params["model"]
        if model_id not in IMAGE_MODELS or not call.world.availability.serves(model_id, caller.location):
            raise api.model_not_found(call, model_id, "countTokens")
        body = await call.read(api.request_type)
        await call.begin(account=caller.name, project=caller.project, location=caller.location, model=model_id)
        total = text_tokens(body.prompt)
        return json_response({"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]})

    return handle
