"""One process that looks at foreign bytes, with limits of its own: what breaks it costs one file.

Decoders are large bodies of C that read whatever an upload holds. They run in a process that has
no descriptor but its own socket and the log, may take so much memory and time, and does not outlive
who started it: a fork of a job, or an interpreter of its own below a process with threads. It is
told files and tells what it made of them; it never writes to the volume, and what it tells is
parsed as what it is: foreign (no pickle).
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, NoReturn, cast

from core.errors import OutOfMemory
from core.ingest.rejects import Rejected
from core.processes import die_with_parent, prefer_for_oom

Cause = Literal["failed", "memory", "time"]
GIB = 1024**3

_FRAME = struct.Struct(">cIQ")
_COUNT = struct.Struct(">I")
_PIECE = 1024**2
_LONGEST_HEAD = 16 * 1024**2
_MEMORY_EXIT = 12
_OOM_SCORE = 900
"""The kernel ends a decoder rather than the job that it belongs to."""
_CODES: dict[Cause, str] = {
    "failed": "decoder_failed",
    "memory": "decoder_out_of_memory",
    "time": "decoder_timeout",
}


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """What one decoder may cost.

    memory_bytes is address space beyond what the process was born with; cpu_seconds and seconds
    (of the wall clock) are for one file.
    """

    memory_bytes: int = 4 * GIB
    cpu_seconds: int = 60
    seconds: float = 120.0


class Frame(NamedTuple):
    """One message. Kind ``n`` (a file), ``s`` (a file, alone), ``a`` (an answer), ``r`` (a reject)
    or ``w`` (the file wants to be looked at alone)."""

    kind: bytes
    head: bytes
    body: bytes = b""

    def parts(self) -> tuple[bytes, bytes]:
        """Return what is sent, the body by itself."""
        lengths = _FRAME.pack(self.kind, len(self.head), len(self.body))
        return lengths + self.head, self.body


Work = Callable[[Frame], Frame]
"""Runs in the decoder. MemoryError and whatever else it raises end the process."""


Start = Callable[[socket.socket, "DecoderLimits"], int]
"""Starts a process that serves this end of a connection; returns its pid, or raises OSError."""


class BrokenAnswer(Exception):
    """A decoder said something that it does not say."""


class Decoder:
    """Our end of one decoder process."""

    def __init__(self, start: Start, limits: DecoderLimits) -> None:
        self._limits = limits
        self._connection, theirs = socket.socketpair()
        self._connection.settimeout(limits.seconds)
        self._buffer = bytearray()
        self._late = False
        self.deadline = math.inf
        try:
            self.pid = start(theirs, limits)
        except OSError as error:
            self._connection.close()
            raise OutOfMemory(f"No process can be started to decode in: {error}") from error
        finally:
            theirs.close()

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, frames: Sequence[Frame]) -> None:
        """Hand over files; only to a decoder that has answered all it was given.

        A decoder that has died is told by :meth:`receive`.
        """
        self.deadline = time.monotonic() + self._limits.seconds
        parts = [part for frame in frames for part in frame.parts()]
        try:
            _send(self._connection, [_COUNT.pack(len(frames)), *parts])
        except TimeoutError:
            self.overdue()
        except OSError:
            return

    def receive(self) -> Iterator[Frame]:
        """Yield the answers that have arrived; EOFError when the decoder has died."""
        try:
            data = self._connection.recv(_PIECE)
        except TimeoutError:
            self.overdue()
            data = b""
        except OSError:
            data = b""
        if not data:
            raise EOFError
        self._buffer += data
        while len(self._buffer) >= _FRAME.size:
            kind, head, body = _FRAME.unpack_from(self._buffer)
            if head > _LONGEST_HEAD or body > self._limits.memory_bytes:
                raise BrokenAnswer
            start, end = _FRAME.size + head, _FRAME.size + head + body
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer) as view:
                frame = Frame(kind, bytes(view[_FRAME.size : start]), bytes(view[start:end]))
            del self._buffer[:end]
            self.deadline = time.monotonic() + self._limits.seconds
            yield frame

    def ask(self, frame: Frame) -> Frame:
        """Hand over one file and wait for the answer; EOFError when the decoder has died."""
        self.send([frame])
        while True:
            for answer in self.receive():
                return answer
            if time.monotonic() > self.deadline:
                self.overdue()

    def overdue(self) -> None:
        """End a decoder that has taken too long; the next ``receive`` tells."""
        self._late, self.deadline = True, math.inf
        self.kill()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> tuple[Cause, str]:
        """End the process if it still lives, and say of what it died and how to put that."""
        # one that has died already keeps its status
        self.kill()
        _, status = os.waitpid(self.pid, 0)
        self._connection.close()
        return self._cause(status)

    def _cause(self, status: int) -> tuple[Cause, str]:
        limits = self._limits
        if self._late:
            return "time", f"Decoding took longer than {limits.seconds:g} s"
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _MEMORY_EXIT:
            return "memory", f"Decoding takes more than {limits.memory_bytes} bytes of memory"
        if not os.WIFSIGNALED(status):
            return "failed", "The decoder failed in a way it should not; see the job's log"
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            return "time", f"Decoding took more than {limits.cpu_seconds} s of the processor"
        why = "; the kernel does this when memory runs out" if number == signal.SIGKILL else ""
        return "failed", f"The decoder was ended by {signal.Signals(number).name}{why}"


def rejected(cause: Cause, detail: str) -> Rejected:
    """Return the reject of a file that ended its decoder."""
    return Rejected(_CODES[cause], detail)


def _send(connection: socket.socket, parts: Sequence[bytes]) -> None:
    """Send small parts with one call, large ones without a copy."""
    if sum(map(len, parts)) <= _PIECE:
        connection.sendall(b"".join(parts))
        return
    for part in parts:
        connection.sendall(part)


def forked(begin: Callable[[], Work]) -> Start:
    """Start a decoder as a fork of this process, which dies with it and must have no threads."""

    def start(theirs: socket.socket, limits: DecoderLimits) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _live(theirs, begin, limits, parent)
        return pid

    return start


def spawned(module: str) -> Start:
    """Start a decoder as ``python -m module``, which calls :func:`serve_spawned`.

    It inherits no descriptor, thread or secret: of the environment it has only where code is.
    """

    def start(theirs: socket.socket, limits: DecoderLimits) -> int:
        told = json.dumps([limits.memory_bytes, limits.cpu_seconds, limits.seconds])
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109
        names = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
        environment = {name: os.environ[name] for name in names if name in os.environ}
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", module, told],
            environment | {"PYTHONPATH": paths},
            # all else is closed: Python opens whatever it opens for itself alone
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                (os.POSIX_SPAWN_DUP2, 2, 1),
            ],
        )

    return start


# In the process


def serve_spawned(begin: Callable[[], Work]) -> NoReturn:
    """Serve who has spawned this interpreter, until it closes its end or is gone."""
    limits = DecoderLimits(*json.loads(sys.argv[1]))
    _live(socket.socket(fileno=0), begin, limits, None)


def _live(
    connection: socket.socket, begin: Callable[[], Work], limits: DecoderLimits, parent: int | None
) -> NoReturn:
    """Serve until the other end is closed; never returns into the code that called it."""
    code = 1
    try:
        _become_decoder(connection.fileno(), limits, parent)
        _serve(connection, begin(), limits.cpu_seconds)
        code = 0
    except MemoryError:
        code = _MEMORY_EXIT
    except BaseException:  # whatever it is, it must not reach the code of the job
        with suppress(BaseException):
            traceback.print_exc()
            sys.stderr.flush()
    finally:
        os._exit(code)


def _become_decoder(descriptor: int, limits: DecoderLimits, parent: int | None) -> None:
    """Die with the job, hold nothing of it (its link to the supervisor!), keep to the limits.

    Without ``parent``, whose thread may end before it does, the end of the connection is the end.
    """
    if parent is not None:
        die_with_parent(parent)
    for number in (signal.SIGTERM, signal.SIGINT):  # to the whole group; the job decides
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    for held in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if held > 2 and held != descriptor:
            with suppress(OSError):  # the list's own is closed already
                os.close(held)
    prefer_for_oom(_OOM_SCORE)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _serve(connection: socket.socket, work: Work, cpu_seconds: int) -> None:
    with connection.makefile("rb", buffering=_PIECE) as stream:
        while count := stream.read(_COUNT.size):
            for frame in [_read(cast("BinaryIO", stream)) for _ in range(*_COUNT.unpack(count))]:
                _allow(cpu_seconds)
                _send(connection, work(frame).parts())


def _read(stream: BinaryIO) -> Frame:
    kind, head, body = _FRAME.unpack(stream.read(_FRAME.size))
    return Frame(kind, stream.read(head), stream.read(body))


def _allow(cpu_seconds: int) -> None:
    """Let this process compute for so long from now; then the kernel sends SIGXCPU."""
    until = math.ceil(time.process_time() + cpu_seconds)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard != resource.RLIM_INFINITY:
        until = min(until, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (until, hard))
