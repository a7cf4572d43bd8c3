"""Files of forms: on disk unless they are small, read when they are needed, and gone at the end of their request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from starlette.datastructures import FormData, UploadFile

_open: ContextVar[ExitStack | None] = ContextVar("uploaded_files", default=None)


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """One file of a form; its type is told by its bytes, not by what the client declared."""

    file_name: str
    size_bytes: int
    _kept: UploadFile = field(repr=False)

    async def take(self) -> bytes:
        """The bytes, once: what kept them is given back."""
        content = await self._kept.read()
        await self._kept.close()
        return content


def uploaded_file(kept: UploadFile) -> UploadedFile:
    """The file as its reader knows it; nothing is read."""
    return UploadedFile(kept.filename or "upload", kept.size or 0, kept)


@contextmanager
def closing_uploaded_files() -> Iterator[None]:
    """Around one request: closes the files of its form at the end."""
    with ExitStack() as stack:
        token = _open.set(stack)
        try:
            yield
        finally:
            _open.reset(token)


def close_at_the_end(form: FormData) -> None:
    """Close the files of this form when the current request is over; closing one twice is safe."""
    stack = _open.get()
    if stack is None:
        raise RuntimeError("a form is read outside of a request")
    for _, value in form.multi_items():
        if isinstance(value, UploadFile):
            stack.callback(value.file.close)
