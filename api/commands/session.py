"""What every command gets: the terminal, and a client once it needs one."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from api.client import Client
from api.client.transport import Retrying
from api.commands.exits import UsageError
from api.commands.terminal import Terminal

UP_FILE = Path("build/up.json")
PROJECT = Path(__file__).resolve().parents[2]
Run = Callable[[argparse.Namespace, "Session"], int]


@dataclass(frozen=True, slots=True)
class Address:
    """A server and the key for it."""

    url: str
    key: str | None


class Session:
    """One run of ``dermsynth``."""

    def __init__(
        self,
        args: argparse.Namespace,
        terminal: Terminal,
        connect: Callable[..., Client] = Client,
    ) -> None:
        self._args = args
        self._connect = connect
        self._opened: Client | None = None
        self.terminal = terminal

    @cached_property
    def client(self) -> Client:
        address = find_address(self._args.url, self._args.key)
        self._opened = self._connect(address.url, address.key, on_retry=self._tell_retry)
        return self._opened

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def _tell_retry(self, retry: Retrying) -> None:
        if retry.seconds >= 1:
            self.terminal.say(f"{retry.reason}; trying again in {retry.seconds:.0f} s")


def find_address(url: str | None, key: str | None) -> Address:
    """Return server and key: options, else DERMSYNTH_URL / DERMSYNTH_API_KEY, else ``make up``'s.

    A key file is read only for a server on this machine; UsageError when no server is named.
    """
    url = url or os.environ.get("DERMSYNTH_URL") or None
    key = key or os.environ.get("DERMSYNTH_API_KEY") or None
    if url is not None and key is not None:
        return Address(url, key)
    embedded = _embedded()
    if url is None:
        if embedded is None:
            raise UsageError(
                "No server is named: give --url, set DERMSYNTH_URL, or start one with `make up`."
            )
        url = str(embedded["url"])
    if key is None and embedded is not None and url.rstrip("/") == str(embedded["url"]).rstrip("/"):
        key = _key_in(embedded)
    return Address(url, key)


def _embedded() -> dict[str, Any] | None:
    """Return what ``make up`` wrote, here or in the project's folder."""
    for folder in (Path.cwd(), PROJECT):
        try:
            found = json.loads((folder / UP_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict) and _is_here(str(found.get("url", ""))):
            return found | {"folder": folder}
    return None


def _is_here(url: str) -> bool:
    """Tell whether an address is of this machine: a file found in a folder names no other."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _key_in(embedded: dict[str, Any]) -> str | None:
    path = embedded.get("api_key_file")
    if not isinstance(path, str):
        return None
    try:
        return (Path(embedded["folder"]) / path).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"The key file {path} of the running stack cannot be read.") from error
