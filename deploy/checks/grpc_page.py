"""Write docs/grpc.md from the contract in proto/, or with ``--check`` fail when the page is stale.

The .proto files are the truth: buf compiles them, comments included, into descriptors, and this lays them out. (The
generators that there are write HTML, or are no longer kept.)
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from grpc_page_comments import Comments, in_cell, marked_codes, paragraphs, split_errors

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "grpc.md"
GOOGLE_TYPES = "https://protobuf.dev/reference/protobuf/google.protobuf/"
INTRODUCTION = """\
# gRPC reference

Every service, method, message and field of the contract. How to use it from a program of your own is in
[grpc-guide.md](grpc-guide.md). This page is written by `make docs` from the `.proto` files in [proto/](../proto/).

Every call carries the metadata `authorization: Bearer <FLOW2API_SERVICE_TOKEN>`; without it, it ends with
`UNAUTHENTICATED` reason `SERVICE_TOKEN_INVALID`. Beside the errors that a method names, any call can end with
`INVALID_ARGUMENT` (a field is wrong; BadRequest names it), `UNAVAILABLE` (a store that it needs is away; RetryInfo says
when to come again) and `INTERNAL`.
"""

Field = FieldDescriptorProto


class Page:
    """The descriptors of our files, and what links to what."""

    def __init__(self, files: list[FileDescriptorProto]) -> None:
        self._files = files
        self._comments = {file.name: Comments(file) for file in files}
        self._anchors = {name: _anchor(name) for file in files for name in _names_in(file)}
        # Words in comments that lead somewhere: names of two words or more, which are nobody's ordinary language.
        self._words = {
            name.rpartition(".")[2]: anchor
            for name, anchor in self._anchors.items()
            if re.fullmatch(r"(?:[A-Z][a-z]+){2,}\d*(?<!Service)", name.rpartition(".")[2])
        }

    def render(self) -> str:
        """The whole page."""
        packages = list(dict.fromkeys(file.package for file in self._files))
        parts = [INTRODUCTION, *self._contents(packages)]
        for package in packages:
            parts += self._package(package)
        return "\n".join(parts).rstrip() + "\n"

    def _contents(self, packages: list[str]) -> Iterator[str]:
        for package in packages:
            yield f"- [`{package}`](#{_anchor(package)})"
            for file in self._of(package):
                for service in file.service:
                    links = ", ".join(
                        f"[{method.name}](#{_anchor(f'{package}.{service.name}.{method.name}')})"
                        for method in service.method
                    )
                    yield f"  - [{service.name}](#{_anchor(f'{package}.{service.name}')}): {links}"
        yield ""

    def _package(self, package: str) -> Iterator[str]:
        files = self._of(package)
        yield from _heading(2, package, f"`{package}`")
        for file in files:
            yield from self._text(self._comments[file.name].of_file())
        inline = set()
        for file in files:
            for number, service in enumerate(file.service):
                name = f"{package}.{service.name}"
                yield from _heading(3, name, service.name)
                yield from self._text(self._comments[file.name].at(6, number))
                for method_number, method in enumerate(service.method):
                    yield from self._method(name, method, self._comments[file.name].at(6, number, 2, method_number))
                    inline |= {method.input_type.lstrip("."), method.output_type.lstrip(".")}
        for file in files:
            for path, full_name, message in _messages_in(file):
                if full_name not in inline:
                    yield from _heading(3, full_name, full_name.removeprefix(f"{package}."))
                    yield from self._message(file, path, message)
        for file in files:
            for path, full_name, enum in _enums_in(file):
                yield from _heading(3, full_name, f"{full_name.removeprefix(f'{package}.')} (enum)")
                yield from self._enum(file, path, enum)

    def _method(self, service: str, method: MethodDescriptorProto, comment: str) -> Iterator[str]:
        yield from _heading(4, f"{service}.{method.name}", f"{service.rpartition('.')[2]}.{method.name}")
        text, errors = split_errors(comment)
        yield from self._text(text)
        if errors:
            yield "Errors:\n"
            yield from (f"- {self._linked(error)}" for error in errors)
            yield ""
        for title, type_name, is_stream in (
            ("Request", method.input_type, method.client_streaming),
            ("Response", method.output_type, method.server_streaming),
        ):
            full_name = type_name.lstrip(".")
            found = self._find(full_name)
            yield f'<a id="{_anchor(full_name)}"></a>\n'
            stream = "a stream of " if is_stream else ""
            if found is None or not found[2].field:
                yield f"{title}: {stream}`{full_name.rpartition('.')[2]}`, without fields.\n"
            else:
                yield f"{title}: {stream}`{full_name.rpartition('.')[2]}`\n"
                yield from self._message(found[0], found[1], found[2], is_inline=True)

    def _message(
        self, file: FileDescriptorProto, path: tuple[int, ...], message: DescriptorProto, *, is_inline: bool = False
    ) -> Iterator[str]:
        comments = self._comments[file.name]
        text = comments.at(*path)
        # "Request of GetToken." says nothing below that method; what follows it does.
        text = re.sub(r"^(?:Request|Response) of \w+\.\s*", "", text) if is_inline else text
        yield from self._text(text)
        if message.field:
            yield "| field | type | |\n| --- | --- | --- |"
            for number, field in enumerate(message.field):
                meaning = self._linked(in_cell(comments.at(*path, 2, number)))
                yield f"| `{field.name}` = {field.number} | {self._type(message, field)} | {meaning} |"
            yield ""

    def _enum(self, file: FileDescriptorProto, path: tuple[int, ...], enum: EnumDescriptorProto) -> Iterator[str]:
        comments = self._comments[file.name]
        yield from self._text(comments.at(*path))
        yield "| value | |\n| --- | --- |"
        for number, value in enumerate(enum.value):
            meaning = self._linked(in_cell(comments.at(*path, 2, number)))
            yield f"| `{value.name}` = {value.number} | {meaning} |"
        yield ""

    def _type(self, message: DescriptorProto, field: Field) -> str:
        entry = next(
            (each for each in message.nested_type if field.type_name.endswith(f".{message.name}.{each.name}")), None
        )
        if entry is not None and entry.options.map_entry:
            key, value = entry.field
            return f"map of {self._type_name(key)} to {self._type_name(value)}"
        name = self._type_name(field)
        if field.label == Field.LABEL_REPEATED:
            return f"repeated {name}"
        if field.proto3_optional:
            return f"optional {name}"
        if field.HasField("oneof_index"):
            return f"{name}, one of `{message.oneof_decl[field.oneof_index].name}`"
        return name

    def _type_name(self, field: Field) -> str:
        if not field.type_name:
            return Field.Type.Name(field.type).removeprefix("TYPE_").lower()
        full_name = field.type_name.lstrip(".")
        short = full_name.rpartition(".")[2]
        if full_name in self._anchors:
            return f"[{short}](#{self._anchors[full_name]})"
        return f"[{short}]({GOOGLE_TYPES}#{short.lower()})"

    def _text(self, comment: str) -> Iterator[str]:
        for paragraph in paragraphs(comment):
            yield f"{self._linked(paragraph)}\n"

    def _linked(self, text: str) -> str:
        """The text with, outside of code, the names of ours as links, and status codes and reasons as code."""

        def link(found: re.Match[str]) -> str:
            anchor = self._words.get(found[0])
            return f"[{found[0]}](#{anchor})" if anchor else found[0]

        parts = text.split("`")
        parts[::2] = [re.sub(r"\b[A-Z]\w+\b", link, marked_codes(part)) for part in parts[::2]]
        return "`".join(parts)

    def _of(self, package: str) -> list[FileDescriptorProto]:
        return [file for file in self._files if file.package == package]

    def _find(self, full_name: str) -> tuple[FileDescriptorProto, tuple[int, ...], DescriptorProto] | None:
        for file in self._files:
            for path, name, message in _messages_in(file):
                if name == full_name:
                    return file, path, message
        return None


def _messages_in(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str, DescriptorProto]]:
    """Path in the source, full name and descriptor of every message but the entries of maps."""
    pending: list[tuple[tuple[int, ...], str, DescriptorProto]] = [
        ((4, number), f"{file.package}.{each.name}", each) for number, each in enumerate(file.message_type)
    ]
    while pending:
        path, name, message = pending.pop(0)
        if message.options.map_entry:
            continue
        yield path, name, message
        nested = [((*path, 3, number), f"{name}.{each.name}", each) for number, each in enumerate(message.nested_type)]
        pending[:0] = nested


def _enums_in(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str, EnumDescriptorProto]]:
    for number, enum in enumerate(file.enum_type):
        yield (5, number), f"{file.package}.{enum.name}", enum
    for path, name, message in _messages_in(file):
        for number, enum in enumerate(message.enum_type):
            yield (*path, 4, number), f"{name}.{enum.name}", enum


def _names_in(file: FileDescriptorProto) -> Iterator[str]:
    yield from (name for _, name, _ in _messages_in(file))
    yield from (name for _, name, _ in _enums_in(file))
    for service in file.service:
        yield f"{file.package}.{service.name}"
        yield from (f"{file.package}.{service.name}.{method.name}" for method in service.method)


def _anchor(full_name: str) -> str:
    return full_name.removeprefix("flow2api.").replace(".", "-").lower()


def _heading(level: int, full_name: str, title: str) -> tuple[str, str]:
    return f'<a id="{_anchor(full_name)}"></a>\n', f"{'#' * level} {title}\n"


def compiled() -> list[FileDescriptorProto]:
    """Our files, in the order of their names."""
    buf = Path(sys.executable).with_name("buf")
    image = subprocess.run(  # noqa: S603 - our own tool
        [buf, "build", str(ROOT / "proto"), "--output", "-#format=binpb"], check=True, capture_output=True
    ).stdout
    return sorted(
        (file for file in FileDescriptorSet.FromString(image).file if file.package.startswith("flow2api.")),
        key=lambda file: (file.package != "flow2api.tokens.v1", file.package, not file.service, file.name),
    )


def main() -> int:
    page = Page(compiled()).render()
    if "--check" not in sys.argv:
        PAGE.write_text(page)
        return 0
    if PAGE.exists() and PAGE.read_text() == page:
        return 0
    sys.stderr.write("docs/grpc.md is stale: run make docs\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
