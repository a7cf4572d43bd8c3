"""``countTokens``: about what a prompt will count for, without asking anybody.

Source: docs/upstream/google-official.md, sections 4 and 5 (a picture counts 258 tokens); docs/upstream/openai.md,
section 11.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flow2api_gateway.auth.models import usable_model
from flow2api_gateway.edge.bodies import read_json
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.gemini.content.schemas import Content, GenerateContentRequest, Part, ProtoJson
from flow2api_gateway.gemini.dialect import EXPRESS_MODELS, VERTEX_MODELS
from flow2api_gateway.gemini.documents import GOOGLE_ERRORS
from flow2api_gateway.gemini.keys import GoogleKeyDep
from flow2api_gateway.gemini.models_endpoints import check_makes, require_contents
from flow2api_gateway.openai.documents import takes_json
from flow2api_proto.generation.v1 import model_pb2

router: Final = APIRouter(tags=["gemini"])
# Google's own rule of thumb; no upstream of ours tells its tokenizer.
_CHARACTERS_PER_TOKEN: Final = 4
_TOKENS_PER_PICTURE: Final = 258


class CountTokensRequest(ProtoJson):
    """Body of ``countTokens``: contents, or the whole request that they would be sent in."""

    contents: list[Content] | None = None
    system_instruction: Content | None = None
    generate_content_request: GenerateContentRequest | None = None


@router.post(f"{EXPRESS_MODELS}/{{model_id:path}}:countTokens", include_in_schema=False)
@router.post(f"{VERTEX_MODELS}/{{model_id:path}}:countTokens", include_in_schema=False)
@router.post(
    "/v1beta/models/{model_id:path}:countTokens",
    summary="Count tokens (Gemini)",
    openapi_extra=takes_json(CountTokensRequest),
    responses=GOOGLE_ERRORS,
)
async def count_tokens(request: Request, model_id: str, api_key: GoogleKeyDep, gateway: GatewayDep) -> Response:
    """An estimate of the tokens of the contents: four characters each, 258 a picture. It costs nothing."""
    body = await read_json(request, CountTokensRequest, gateway.settings.max_body_bytes)
    model = await usable_model(gateway.catalog, api_key, model_id)
    check_makes(model, model_pb2.MODALITY_IMAGE, method="countTokens")
    whole = body.generate_content_request
    contents = whole.contents if whole else body.contents
    require_contents(contents, "contents")
    instruction = whole.system_instruction if whole else body.system_instruction
    return json_response(_count([*(contents or []), *([instruction] if instruction else [])]))


def _count(contents: list[Content]) -> dict[str, Any]:
    parts = list(_parts(contents))
    characters = sum(len(part.text or "") for part in parts)
    text_tokens = -(-characters // _CHARACTERS_PER_TOKEN)
    picture_tokens = _TOKENS_PER_PICTURE * sum(bool(part.inline_data or part.file_data) for part in parts)
    details = [
        {"modality": modality, "tokenCount": tokens}
        for modality, tokens in (("TEXT", text_tokens), ("IMAGE", picture_tokens))
        if tokens
    ]
    return {"totalTokens": text_tokens + picture_tokens, "promptTokensDetails": details}


def _parts(contents: list[Content]) -> Iterator[Part]:
    for content in contents:
        yield from content.parts or []
