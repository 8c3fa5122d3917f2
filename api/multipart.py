"""multipart/form-data, streamed to disk: nothing is held in memory but one chunk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from api.context import is_unicode
from api.write_behind import WriteBehind
from core.errors import FieldError, InvalidInput, PayloadTooLarge, UnsupportedMedia
from core.pointers import pointer
from core.services.quota import require_room
from core.services.uploads import Buffer
from core.storage.blobs import disk_errors

MAX_FIELD_BYTES = 64 * 1024
MAX_FIELDS = 64
BATCH_BYTES = 4 * 1024**2
"""A thread is asked to write so many bytes at once."""


@dataclass(slots=True)
class FilePart:
    """A file that has arrived."""

    field: str
    filename: str
    path: Path
    size: int
    sha256: str


@dataclass(slots=True)
class FormLimits:
    """What a form may hold: fields that are files, files in each of them, and bytes a file."""

    file_fields: tuple[str, ...]
    max_files: int
    max_file_bytes: int


@dataclass(slots=True)
class _Part:
    name: str
    filename: str | None
    data: bytearray = field(default_factory=bytearray)
    file: BinaryIO | None = None
    path: Path | None = None
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


class Form:
    """The fields and files of one request; leaving it removes the files that are still there."""

    def __init__(self, limits: FormLimits, place: Callable[[], Path]) -> None:
        self.fields: dict[str, str] = {}
        self.files: list[FilePart] = []
        self._limits = limits
        self._place = place
        self._part: _Part | None = None
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[str, bytes] = {}
        self._made: list[Path] = []
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._part is not None and self._part.file is not None:
            self._part.file.close()
        for path in self._made:
            path.unlink(missing_ok=True)

    def keep(self, part: FilePart) -> None:
        """Leave this file where it is."""
        self._made.remove(part.path)

    def fingerprint(self) -> str:
        """Return a text that is the same for the same fields and files."""
        files = [(part.field, part.filename, part.sha256) for part in self.files]
        return repr((sorted(self.fields.items()), files))

    async def read(self, request: Request) -> None:
        """Read the whole body; writes happen in a thread."""
        parser = MultipartParser(_boundary(request), self._callbacks(), max_header_size=8192)
        async with WriteBehind(lambda pieces: _feed(parser, pieces), BATCH_BYTES) as body:
            async for data in request.stream():
                await body.take(data)
            await body.flush()
        if not self._ended:
            raise InvalidInput("The form ends before its last boundary", code="invalid_form")

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._part_begin,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_end": self._end,
        }

    def _end(self) -> None:
        self._ended = True

    def _part_begin(self) -> None:
        self._headers = {}

    def _header_end(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        kind, options = parse_options_header(self._headers.get("content-disposition"))
        name = _text(options.get(b"name", b""), "The name of a field")
        if kind != b"form-data" or not name:
            raise InvalidInput("A part of the form has no name", code="invalid_form")
        filename = options.get(b"filename")
        if filename is None:
            self._begin_field(name)
        else:
            self._begin_file(name, _text(filename, "The name of a file"))

    def _begin_field(self, name: str) -> None:
        if name in self.fields or len(self.fields) >= MAX_FIELDS:
            raise _field_problem(name, "stands there twice, or there are too many fields")
        if name in self._limits.file_fields:
            raise _field_problem(name, "must be a file")
        self._part = _Part(name, None)

    def _begin_file(self, name: str, filename: str) -> None:
        if name not in self._limits.file_fields:
            known = ", ".join(map(repr, self._limits.file_fields))
            raise _field_problem(name, f"is not a file field; the file is {known}")
        if sum(part.field == name for part in self.files) >= self._limits.max_files:
            raise _field_problem(name, f"has more than {self._limits.max_files} files")
        path = self._place()
        with disk_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._made.append(path)
        self._part = _Part(name, filename, file=os.fdopen(descriptor, "wb"), path=path)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        assert part is not None  # noqa: S101 - the parser calls in this order
        part.size += end - start
        if part.file is None:
            if part.size > MAX_FIELD_BYTES:
                raise _field_problem(part.name, f"is longer than {MAX_FIELD_BYTES} bytes")
            part.data += data[start:end]
            return
        if part.size > self._limits.max_file_bytes:
            raise PayloadTooLarge(
                f"A file has more than {self._limits.max_file_bytes} bytes",
                extra={"limit_bytes": self._limits.max_file_bytes},
            )
        part.digest.update(memoryview(data)[start:end])
        with disk_errors():
            part.file.write(memoryview(data)[start:end])

    def _part_end(self) -> None:
        part, self._part = self._part, None
        assert part is not None  # noqa: S101 - the parser calls in this order
        if part.file is None or part.path is None or part.filename is None:
            self.fields[part.name] = _text(bytes(part.data), f"Field {part.name!r}")
            return
        with disk_errors(), part.file:
            part.file.flush()
            os.fsync(part.file.fileno())
        self.files.append(
            FilePart(part.name, part.filename, part.path, part.size, part.digest.hexdigest())
        )


def _feed(parser: MultipartParser, pieces: list[Buffer]) -> None:
    require_room(sum(map(len, pieces)))
    try:
        for piece in pieces:
            parser.write(bytes(piece))
    except FormParserError as error:
        raise InvalidInput(f"This is not a form: {error}", code="invalid_form") from None


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data":
        raise UnsupportedMedia("The body must be multipart/form-data")
    if not 1 <= len(boundary) <= 200:
        raise InvalidInput("The form has no usable boundary", code="invalid_form")
    return bytes(boundary)


def _text(data: bytes, what: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"{what} is not UTF-8", code="invalid_characters") from None
    if "\0" in text or not is_unicode(text):
        raise InvalidInput(f"{what} holds a NUL character", code="invalid_characters")
    return text


def _field_problem(name: str, detail: str) -> InvalidInput:
    shown = name[:80]
    errors = [FieldError(pointer([shown]), detail)]
    return InvalidInput(f"Field {shown!r} {detail}", code="invalid_form", errors=errors)
