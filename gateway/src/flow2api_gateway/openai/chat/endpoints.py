"""``POST /v1/chat/completions``."""

from __future__ import annotations

from functools import partial
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flow2api_gateway.auth.dependencies import ApiKeyDep
from flow2api_gateway.auth.models import usable_model
from flow2api_gateway.edge.bodies import read_json
from flow2api_gateway.edge.event_stream import EventStream
from flow2api_gateway.edge.presence import while_present
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.errors.paid import after_payment
from flow2api_gateway.gateway import Gateway, GatewayDep
from flow2api_gateway.generation.images import begun_generation, collect_images, generate_images
from flow2api_gateway.generation.pictures import input_images
from flow2api_gateway.generation.videos import create_video, follow_video
from flow2api_gateway.openai import examples
from flow2api_gateway.openai.chat.chat_to_grpc import CHAT_FIELDS, check_values, image_request, video_request
from flow2api_gateway.openai.chat.conversation import Conversation, read_conversation
from flow2api_gateway.openai.chat.grpc_to_chat import ChatAnswer
from flow2api_gateway.openai.chat.image_chat import image_chunks, image_completion
from flow2api_gateway.openai.chat.schemas import CHAT_PICTURES, ChatCompletionRequest
from flow2api_gateway.openai.chat.video_chat import video_chunks, video_completion
from flow2api_gateway.openai.documents import answers, takes_json
from flow2api_gateway.openai.requests import error_event, idempotency_key, idempotency_scope, link_to
from flow2api_proto.generation.v1 import image_pb2, model_pb2, video_pb2

router: Final = APIRouter(tags=["chat"])


@router.post(
    "/v1/chat/completions",
    summary="Make a picture or a clip in a conversation",
    openapi_extra=takes_json(ChatCompletionRequest, examples.CHAT_REQUEST),
    responses=answers(examples.CHAT_ANSWER, others={"text/event-stream": "With `stream`: events as they come."}),
)
async def create_chat_completion(request: Request, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """The result as Markdown; with ``stream`` the progress comes as ``reasoning_content`` before it."""
    chat = await read_json(request, ChatCompletionRequest, gateway.settings.max_body_bytes, pictures=CHAT_PICTURES)
    model = await usable_model(gateway.catalog, api_key, chat.model)
    conversation = read_conversation(chat.messages)
    # Long conversations need not wait for the picture with us.
    chat.messages.clear()
    check_values(chat, conversation, model)
    answer = ChatAnswer(model=chat.model, includes_usage=chat.includes_usage)
    with client_fields(CHAT_FIELDS):
        if model.modality == model_pb2.MODALITY_VIDEO:
            job = await _video_job(request, gateway, chat, conversation, model, api_key.api_key_id)
            return await _video_answer(request, gateway, job, answer, api_key.api_key_id, streamed=bool(chat.stream))
        generation = await _image_generation(request, gateway, chat, conversation, model, api_key.api_key_id)
        return await _image_answer(request, gateway, generation, answer, streamed=bool(chat.stream))


async def _image_generation(
    request: Request,
    gateway: Gateway,
    chat: ChatCompletionRequest,
    conversation: Conversation,
    model: model_pb2.Model,
    api_key_id: str,
) -> image_pb2.GenerateImageRequest:
    sources = conversation.pictures_for(model.max_input_images)
    pictures = await input_images(gateway, sources, api_key_id=api_key_id)
    generation = image_request(
        chat, conversation, model, pictures, api_key_id=api_key_id, request_id=idempotency_key(request)
    )
    generation.request_scope = idempotency_scope(request)
    return generation


async def _video_job(
    request: Request,
    gateway: Gateway,
    chat: ChatCompletionRequest,
    conversation: Conversation,
    model: model_pb2.Model,
    api_key_id: str,
) -> video_pb2.Video:
    pictures = await input_images(gateway, conversation.pictures, api_key_id=api_key_id)
    job = video_request(chat, conversation, model, pictures, api_key_id=api_key_id, request_id=idempotency_key(request))
    job.request_scope = idempotency_scope(request)
    return await create_video(gateway.peers.generation, job)


async def _image_answer(
    request: Request,
    gateway: Gateway,
    generation: image_pb2.GenerateImageRequest,
    answer: ChatAnswer,
    *,
    streamed: bool,
) -> Response:
    link_of = partial(link_to, gateway)
    events = generate_images(gateway.peers.generation, generation, timeout=gateway.settings.image_answer_timeout)
    if not streamed:
        made = await while_present(request.receive, gateway.drain, collect_images(events))
        return json_response(image_completion(made, answer, link_of))
    beginning = begun_generation(events, patience=gateway.settings.heartbeat_interval)
    events = await while_present(request.receive, gateway.drain, beginning)
    chunks = image_chunks(events, answer, link_of, image_count=generation.image_count)
    return EventStream(
        chunks, drain=gateway.drain, heartbeat=gateway.settings.heartbeat_interval, render_error=error_event
    )


async def _video_answer(
    request: Request, gateway: Gateway, job: video_pb2.Video, answer: ChatAnswer, api_key_id: str, *, streamed: bool
) -> Response:
    link_of = partial(link_to, gateway)
    versions = follow_video(
        gateway.peers.generation, job.video_id, api_key_id=api_key_id, timeout=gateway.settings.video_answer_timeout
    )
    if not streamed:
        completion = video_completion(versions, answer, link_of)
        with after_payment():
            return json_response(await while_present(request.receive, gateway.drain, completion))
    return EventStream(
        video_chunks(versions, answer, link_of),
        drain=gateway.drain,
        heartbeat=gateway.settings.heartbeat_interval,
        render_error=error_event,
    )
