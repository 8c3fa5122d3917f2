"""Options that several commands share, and values on the command line."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from api.commands.exits import UsageError


def add_common(parser: argparse.ArgumentParser, *, default: Any = argparse.SUPPRESS) -> None:
    """Add what every command takes, before or after its name."""
    group = parser.add_argument_group("server and output")
    group.add_argument("--url", default=default, help="address of the server (DERMSYNTH_URL)")
    group.add_argument(
        "--key", default=default, help="API key (better: DERMSYNTH_API_KEY, others see options)"
    )
    group.add_argument(
        "--json",
        dest="as_json",
        action="store_true",
        default=False if default is None else default,
        help="one JSON document on stdout; errors are {error: ...}",
    )


def add_following(parser: argparse.ArgumentParser) -> None:
    """Add what commands that create a job take."""
    parser.add_argument(
        "--no-wait", action="store_true", help="print the job and return, it goes on running"
    )
    parser.add_argument("--cancel-on-interrupt", action="store_true", help="Ctrl-C cancels the job")


def json_object(text: str, what: str) -> dict[str, Any]:
    """Read a JSON object, or ``@file`` with one."""
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} cannot be read: {error}") from error
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{what} is not a JSON object.")
    return value


def assign(params: dict[str, Any], dotted: str, value: Any) -> None:
    """Put a value at ``a.b.c``; UsageError when something that is no object is in the way."""
    *path, last = dotted.split(".")
    here = params
    for name in path:
        here = here.setdefault(name, {})
        if not isinstance(here, dict):
            raise UsageError(f"{dotted}: {name} is given as a value already.")
    here[last] = value


def assignment(text: str) -> tuple[str, Any]:
    """Read ``a.b=value``; a value that is not JSON is text."""
    name, equals, value = text.partition("=")
    if not equals or not all(name.split(".")):
        raise UsageError(f"{text!r} is not NAME=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
