"""Typed registries: adding a capability is adding one file.

A registry belongs to a package; ``load()`` imports the package's modules once, and each module
registers what it defines. Registered modules import only light things at the top, so that the API
can describe every capability without torch.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Generic, TypeVar

from core.errors import UnknownName

T = TypeVar("T")


class DuplicateName(RuntimeError):
    """Two entries of one registry carry the same name."""


class Registry(Generic[T]):
    """Names to entries of one type; raises on duplicates and on unknown names."""

    def __init__(self, thing: str, package: str) -> None:
        self._thing = thing
        self._package = package
        self._entries: dict[str, T] = {}
        self._loaded = False

    def add(self, name: str, entry: T) -> None:
        """Register ``entry``; a second entry under one name is an error."""
        if name in self._entries:
            raise DuplicateName(f"{self._thing} {name!r} is registered twice")
        self._entries[name] = entry

    def load(self) -> None:
        """Import every module of the package, once."""
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")

    def get(self, name: str, pointer: str = "") -> T:
        """Return the entry; ``UnknownName`` lists close matches and carries ``pointer``."""
        self.load()
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownName(self._thing, name, self._entries, pointer) from None

    def names(self) -> list[str]:
        self.load()
        return sorted(self._entries)

    def __iter__(self) -> Iterator[tuple[str, T]]:
        self.load()
        return iter(sorted(self._entries.items()))

    def __contains__(self, name: object) -> bool:
        self.load()
        return name in self._entries
