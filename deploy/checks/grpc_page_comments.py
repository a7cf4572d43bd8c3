"""The comments of .proto files as text for a page."""

from __future__ import annotations

import re

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto

_CODE = "|".join(code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK)
_SYNTAX = (12,)

_MARKED = re.compile(r"(?<!`)\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|\b(?:ABORTED|UNAVAILABLE|UNAUTHENTICATED|INTERNAL)\b")


class Comments:
    """The comments of one file, by the path of what they stand before. Source: descriptor.proto, SourceCodeInfo."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._texts = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}

    def at(self, *path: int) -> str:
        """The comment before it; empty if there is none."""
        return self._texts.get(path, "").strip()

    def of_file(self) -> str:
        """What the file begins with."""
        return self.at(*_SYNTAX)


def paragraphs(comment: str) -> list[str]:
    """The comment with one line per paragraph."""
    return [_joined(part) for part in re.split(r"\n\s*\n", comment) if part.strip()]


def in_cell(comment: str) -> str:
    """The comment as one cell of a table."""
    return " ".join(paragraphs(comment)).replace("|", r"\|")


def marked_codes(text: str) -> str:
    """The text with status codes and reasons as code."""
    return _MARKED.sub(r"`\g<0>`", text)


def split_errors(comment: str) -> tuple[str, list[str]]:
    """The comment of a method without the sentences that begin with a status code, and those, one error each."""
    texts: list[str] = []
    errors: list[str] = []
    for paragraph in paragraphs(comment):
        kept: list[str] = []
        for sentence in re.split(r"(?<=\.)\s+(?=[A-Z])", paragraph):
            if re.match(rf"(?:{_CODE})\b", sentence):
                errors += _errors_of(sentence.rstrip("."))
            else:
                kept.append(sentence)
        texts.append(" ".join(kept))
    return "\n\n".join(text for text in texts if text), errors


def _errors_of(sentence: str) -> list[str]:
    # With an explanation it is about one error, however many clauses that has.
    separator = rf",\s+(?=(?:{_CODE})\b)" if ":" in sentence else rf";\s+|,\s+(?=(?:and )?(?:{_CODE})\b)"
    return [part.removeprefix("and ") for part in re.split(separator, sentence)]


def _joined(text: str) -> str:
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    """Text in which nothing outside of code is taken for HTML."""
    parts = text.split("`")
    parts[::2] = [part.replace("<", "&lt;").replace(">", "&gt;") for part in parts[::2]]
    return "`".join(parts)
