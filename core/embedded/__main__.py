"""``python -m core.embedded up | stop | status | run``: the embedded service."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.embedded import control, paths
from core.embedded.stack import Stack
from core.errors import DermSynthError


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code; a typed error is one line on stderr."""
    options = _parser().parse_args(arguments)
    home = Path(options.home).absolute() if options.home else paths.default_home()
    commands = {"up": _up, "stop": _stop, "status": _status, "run": _run}
    try:
        return commands[options.command](home, options)
    except DermSynthError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m core.embedded", description=__doc__)
    parser.add_argument("command", choices=("up", "stop", "status", "run"))
    parser.add_argument("--home", help="data folder (DERMSYNTH_HOME; else var in the checkout)")
    parser.add_argument("--port", type=int, help="of the API (else the first free from 8000)")
    parser.add_argument("--publish", action="store_true", help="run: write build/up.json")
    return parser


def _up(home: Path, options: argparse.Namespace) -> int:
    stack = control.up(home, port=options.port, publish=True)
    print(f"DermSynth3D runs at {stack.url}")
    print(f"API key: {stack.api_key_file}")
    print(f"Open once: {control.login_link(home, stack.url)}")
    return 0


def _stop(_: Path, options: argparse.Namespace) -> int:
    home = control.home_to_stop(Path(options.home) if options.home else None)
    print("Stopped." if control.stop(home) else "Nothing was running.")
    return 0


def _status(home: Path, _: argparse.Namespace) -> int:
    stack = control.status(home)
    print(f"DermSynth3D runs at {stack.url}" if stack else "Not running.")
    return 0 if stack else 3


def _run(home: Path, options: argparse.Namespace) -> int:
    Stack(home, port=options.port, publish=options.publish).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
