"""Forms as nested fields, the way the OpenAI SDKs encode them.

``metadata[team]=x`` is an object's member, ``image[]`` repeated is an array, ``input_reference[image_url]`` a member of
an object where a file could have stood. Source: docs/upstream/openai.md, section 2.
"""

from __future__ import annotations

import re
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import Request

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.edge.bodies import (
    ModelT,
    content_type_of,
    limited_stream,
    nul_character,
    read_json_object,
    validated,
)
from flow2api_gateway.edge.kept_pictures import NO_PICTURES, PicturePlaces
from flow2api_gateway.edge.uploaded_files import UploadedFile, close_at_the_end, uploaded_file

MULTIPART: Final = "multipart/form-data"
URLENCODED: Final = "application/x-www-form-urlencoded"
_MAX_PARTS: Final = 200
_NAME = re.compile(r"^(?P<head>[^\[\]]+)(?P<rest>(\[[^\[\]]*\])*)$")
_STEP = re.compile(r"\[([^\[\]]*)\]")


def is_form(request: Request) -> bool:
    """Whether the body is declared as a form."""
    return content_type_of(request) in (MULTIPART, URLENCODED)


async def read_form(request: Request, max_bytes: int) -> dict[str, Any]:
    """The fields of a form: strings, `UploadedFile`, lists and dicts of them.

    Raises RequestError REQUEST_TOO_LARGE and InvalidArgument INVALID_FORM, INVALID_VALUE.
    """
    stream = limited_stream(request, max_bytes)
    try:
        if content_type_of(request) == MULTIPART:
            parser = MultiPartParser(
                request.headers, stream, max_files=_MAX_PARTS, max_fields=_MAX_PARTS, max_part_size=max_bytes
            )
            form = await parser.parse()
        else:
            form = await FormParser(request.headers, stream).parse()
    # UnicodeError: a charset that the client declared and that refuses to decode.
    except (MultiPartException, FormParserError, UnicodeError) as exc:
        raise InvalidArgument("The request body is not a valid form.", reason="INVALID_FORM") from exc
    close_at_the_end(form)
    return _nested(form)


async def read_json_or_form(
    request: Request, model: type[ModelT], max_bytes: int, *, pictures: PicturePlaces = NO_PICTURES
) -> ModelT:
    """The typed request of a body in either form; the errors are those of `read_form`, `read_json_object` and
    `validated`."""
    if is_form(request):
        return validated(model, await read_form(request, max_bytes), strict=False)
    return validated(model, await read_json_object(request, max_bytes, pictures=pictures), strict=True)


def _nested(form: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if "\0" in name or (isinstance(value, str) and "\0" in value):
            raise nul_character()
        if isinstance(value, UploadFile):
            _put(fields, name, uploaded_file(value))
        else:
            _put(fields, name, value)
    return fields


def _put(fields: dict[str, Any], name: str, value: str | UploadedFile) -> None:
    """Add one value under its bracketed name. A plain name stands once, but for files, which several are a list of."""
    match = _NAME.match(name)
    if match is None:
        _put_plain(fields, name, value)
        return
    here: dict[str, Any] = fields
    step = match["head"]
    for following in _STEP.findall(match["rest"]):
        if following == "":
            items = here.setdefault(step, [])
            if not isinstance(items, list):
                items = here[step] = [items]
            items.append(value)
            return
        inner = here.get(step)
        if not isinstance(inner, dict):
            inner = here[step] = {}
        here, step = inner, following
    if here is fields:
        _put_plain(fields, step, value)
    else:
        here[step] = value


def _put_plain(fields: dict[str, Any], name: str, value: str | UploadedFile) -> None:
    before = fields.get(name)
    if before is None:
        fields[name] = value
    elif isinstance(before, list):
        before.append(value)
    elif isinstance(before, UploadedFile) and isinstance(value, UploadedFile):
        fields[name] = [before, value]
    else:
        raise InvalidArgument.of(name, f"The form has '{name[:64]}' more than once.")
