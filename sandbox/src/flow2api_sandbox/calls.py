"""One call to the sandbox: who asks, which fault hits it, how a refusal is written.

Every endpoint is a handler ``async (Call) -> Response`` that begins with ``call.begin`` once it knows the caller and
the prompt. ``endpoint`` makes the Starlette endpoint of it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from flow2api_sandbox.connection import CutResponse, HeldResponse
from flow2api_sandbox.errors import ApiError, ErrorRenderer
from flow2api_sandbox.fault_errors import fault_error
from flow2api_sandbox.faults import ANSWER_KINDS, REFUSAL_KINDS, Fault, FaultKind, FaultPlace, MarkError
from flow2api_sandbox.spoiled import SpoiledResponse
from flow2api_sandbox.wire import read_json
from flow2api_sandbox.world import World

BodyT = TypeVar("BodyT", bound=BaseModel)
Handler = Callable[["Call"], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


class CallHeld(Exception):
    """The call shall never be answered."""


class CallCut(Exception):
    """The call shall be answered by a reset."""


@dataclass(slots=True)
class Call:
    """The request with the state that it acts on.

    ``outcome_fault`` is for the handler to carry out. ``when_over`` is called when the answer is out, or never will be.
    """

    request: Request
    world: World
    route: str
    outcome_fault: Fault | None = None
    answer_fault: Fault | None = None
    when_over: Callable[[], None] | None = None

    @property
    def base_url(self) -> str:
        """Where links in answers point to; without a slash at the end."""
        public_url = self.world.settings.public_url
        return public_url.rstrip("/") if public_url else str(self.request.base_url).rstrip("/")

    async def begin(
        self,
        *,
        account: str,
        prompt: str = "",
        outcomes: frozenset[FaultKind] = frozenset(),
        project: str = "",
        location: str = "",
        model: str = "",
    ) -> FaultKind | None:
        """Apply the fault for this call, if any.

        Refusals are raised; spoiled answers are noted; kinds in ``outcomes`` are left to the handler in
        ``outcome_fault`` and answered as the result.
        """
        kinds = REFUSAL_KINDS | ANSWER_KINDS | outcomes
        try:
            place = FaultPlace(self.route, account, prompt, project=project, location=location, model=model)
            fault = self.world.faults.take(place, kinds=kinds)
        except MarkError as exc:
            raise ApiError(400, f"sandbox: {exc}") from exc
        if fault is None:
            return None
        if fault.kind in ANSWER_KINDS:
            self.answer_fault = fault
            return None
        if fault.delay:
            await self.world.clock.sleep(fault.delay)
        if fault.kind in outcomes:
            self.outcome_fault = fault
            return fault.kind
        if fault.kind is FaultKind.HANG:
            raise CallHeld
        if fault.kind is FaultKind.RESET:
            raise CallCut
        raise fault_error(fault, place)

    async def read_bytes(self) -> bytes:
        """The body. Raises ApiError 413 when it is too large."""
        body = await self.request.body()
        if len(body) > self.world.settings.max_body_bytes:
            raise ApiError(413, "Request payload size exceeds the limit.")
        return body

    async def read(self, model: type[BodyT]) -> BodyT:
        """The body as that type. Raises ApiError 400 that names the offending field."""
        return parse_body(await self.read_bytes(), model)


def parse_body(body: bytes, model: type[BodyT]) -> BodyT:
    """A JSON body as that type, strictly. Raises ApiError 400 that names the offending field."""
    try:
        parsed: Any = read_json(body)
    except ValueError as exc:
        raise ApiError(400, f"Invalid JSON payload received. {exc}") from exc
    try:
        return model.model_validate(parsed)
    except ValidationError as exc:
        raise ApiError(400, describe_mistakes(exc)) from exc


def describe_mistakes(error: ValidationError) -> str:
    """Every mistake of a body in one message, in Google's manner of speaking."""
    sentences = []
    for each in error.errors(include_url=False, include_input=False)[:5]:
        path = ".".join(str(part) for part in each["loc"])
        if each["type"] == "extra_forbidden":
            sentences.append(f'Unknown name "{path}": Cannot find field.')
        else:
            sentences.append(f'Invalid value at "{path}": {each["msg"]}.')
    return "Invalid JSON payload received. " + " ".join(sentences)


class WatchedResponse(Response):
    """An answer that tells when it is over."""

    def __init__(self, answer: Response, when_over: Callable[[], None]) -> None:
        super().__init__()
        self.status_code = answer.status_code
        self._answer = answer
        self._when_over = when_over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and tell."""
        try:
            await self._answer(scope, receive, send)
        finally:
            self._when_over()


def endpoint(world: World, route: str, handler: Handler, render: ErrorRenderer) -> Endpoint:
    """The Starlette endpoint of a handler: counts, renders refusals, spoils answers."""

    async def serve(request: Request) -> Response:
        call = Call(request=request, world=world, route=route)
        world.ledger.calls[route] += 1
        try:
            response = await handler(call)
        except ApiError as error:
            response = render(error)
        except CallHeld:
            response = HeldResponse(world)
            response.status_code = 0
        except CallCut:
            response = CutResponse()
            response.status_code = 0
        if call.answer_fault is not None:
            response = SpoiledResponse(response, call.answer_fault, world)
        if call.when_over is not None:
            response = WatchedResponse(response, call.when_over)
        world.ledger.count_answer(route, response.status_code)
        return response

    return serve
