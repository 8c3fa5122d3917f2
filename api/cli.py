"""``dermsynth``: the service from a terminal. Results on stdout, the rest on stderr."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from api.client import ApiProblem, Client, ClientError, JobNotSucceeded
from api.commands import (
    access,
    assets,
    datasets,
    doctor,
    files,
    jobs,
    keys,
    stack,
    submitting,
    webhooks,
)
from api.commands.exits import Exit, epilog, exit_of
from api.commands.following import Interrupted
from api.commands.options import add_common
from api.commands.session import Session
from api.commands.terminal import Terminal
from core.errors import DermSynthError

NOTE = "Research use only, not a medical device."


def main(argv: Sequence[str] | None = None, *, connect: Callable[..., Client] = Client) -> int:
    """Run one command and return its exit code."""
    args = parser().parse_args(argv)
    session = Session(args, Terminal(as_json=args.as_json), connect)
    try:
        return int(args.run(args, session))
    except Interrupted as stop:
        return _interrupted(session.terminal, stop)
    except KeyboardInterrupt:
        session.terminal.complain("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # what is left in the buffer has no reader; it must not raise again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE
    except ClientError as error:
        return _failed(session.terminal, error)
    except DermSynthError as error:  # of the embedded stack
        session.terminal.complain(f"{error.detail} ({error.code})")
        session.terminal.document({"error": error.as_problem()})
        return Exit.SERVER
    finally:
        session.close()


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(
        prog="dermsynth",
        description=f"Images for rare lesion classes, and whether they help. {NOTE}",
        epilog=epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_common(top, default=None)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (
        datasets,
        assets,
        submitting,
        jobs,
        files,
        keys,
        access,
        webhooks,
        doctor,
        stack,
    ):
        module.register(commands)
    return top


def _interrupted(terminal: Terminal, stop: Interrupted) -> int:
    if stop.cancelled:
        terminal.complain(f"\nJob {stop.job_id} is being canceled.")
    else:
        terminal.complain(
            f"\nJob {stop.job_id} goes on. Follow it with: dermsynth watch {stop.job_id}"
        )
    terminal.document({"interrupted": {"job_id": stop.job_id, "canceled": stop.cancelled}})
    return Exit.INTERRUPTED


def _failed(terminal: Terminal, error: ClientError) -> int:
    described: dict[str, Any] = {"code": type(error).__name__, "detail": str(error)}
    text = str(error)
    if isinstance(error, ApiProblem):
        described = error.as_json()
    if isinstance(error, JobNotSucceeded):
        described |= {"job": error.job.model_dump(mode="json")}
    if isinstance(error, (ApiProblem, JobNotSucceeded)):
        text = jobs.failure_of(error)
    terminal.complain(text)
    terminal.document({"error": described})
    return exit_of(error)


if __name__ == "__main__":
    sys.exit(main())
