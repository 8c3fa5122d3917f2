"""up, stop, demo: the embedded stack of this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from api.commands.options import add_common
from api.commands.session import Session


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("up", help="start the embedded service on this machine")
    parser.add_argument("--port", type=int, help="of the API (default: the first free from 8000)")
    parser.add_argument("--home", type=Path, metavar="DIR", help="data folder (DERMSYNTH_HOME)")
    add_common(parser)
    parser.set_defaults(run=up)

    parser = commands.add_parser("stop", help="stop the embedded service")
    parser.add_argument("--home", type=Path, metavar="DIR", help="data folder (DERMSYNTH_HOME)")
    add_common(parser)
    parser.set_defaults(run=stop)

    parser = commands.add_parser("demo", help="the whole pipeline on a stack of its own")
    parser.add_argument(
        "dataset", nargs="?", type=Path, help="folder or archive (default: the built-in dataset)"
    )
    add_demo_options(parser)
    add_common(parser)
    parser.set_defaults(run=demo)


def add_demo_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``dermsynth demo`` and ``python -m api.demo`` both take."""
    parser.add_argument("--out", type=Path, default=Path("build/demo"), metavar="DIR")
    parser.add_argument("--name", help="of the dataset")
    parser.add_argument("--layout", default="auto", help="of the dataset (default auto)")
    parser.add_argument("--licence", help="of the dataset")
    parser.add_argument("--backbone", help="turns images into features")
    parser.add_argument("--folds", type=int, help="folds of the cross-validation")
    parser.add_argument("--repeats", type=int, help="seeds of the cross-validation")
    parser.add_argument("--seed", type=int, default=0)


def up(args: argparse.Namespace, session: Session) -> int:
    """Start the service and say where it is."""
    from core.embedded import control, paths

    home = args.home.absolute() if args.home else paths.default_home()
    stack = control.up(home, port=args.port, publish=True)
    link = control.login_link(home, stack.url)
    session.terminal.line(f"DermSynth3D runs at {stack.url}")
    session.terminal.line(f"API key: {stack.api_key_file}")
    session.terminal.line(f"Open once: {link}")
    session.terminal.document(
        {
            "url": stack.url,
            "api_key_file": str(stack.api_key_file),
            "pid": stack.pid,
            "login_link": link,
        }
    )
    return 0


def stop(args: argparse.Namespace, session: Session) -> int:
    """Stop the stack of a folder, else the one that build/up.json names."""
    from core.embedded import control

    stopped = control.stop(control.home_to_stop(args.home))
    session.terminal.line("Stopped." if stopped else "Nothing was running.")
    session.terminal.document({"stopped": stopped})
    return 0


def demo(args: argparse.Namespace, session: Session) -> int:
    """Run the demonstration."""
    from api.demo import run

    return run(args, session.terminal)
