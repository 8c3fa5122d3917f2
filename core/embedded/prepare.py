"""What the restart parent has done in a process of its own, for it needs the database's code.

``python -m core.embedded.prepare KEY_FILE`` migrates and makes the first key;
``python -m core.embedded.prepare --login-token`` prints a one-time token.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.errors import DermSynthError


def main(arguments: list[str] | None = None) -> int:
    """Run one of the two; the addresses come from the environment. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m core.embedded.prepare")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("key_file", nargs="?", type=Path)
    what.add_argument("--login-token", action="store_true")
    options = parser.parse_args(arguments)
    from sqlalchemy.exc import OperationalError

    try:
        if options.login_token:
            print_login_token()
        else:
            migrate_and_make_key(options.key_file)
    except (DermSynthError, OperationalError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def migrate_and_make_key(key_file: Path) -> None:
    """Bring the database to the newest revision and write a working key to the file (0600)."""
    from core.config import get_settings
    from core.db.migrate import upgrade
    from core.db.session import sessions
    from core.services.keys import ensure_first_key

    upgrade(get_settings().database_url)
    ensure_first_key(sessions(), key_file)


def print_login_token() -> None:
    from core.db.session import sessions
    from core.services.browser_sessions import login_token

    print(login_token(sessions()))


if __name__ == "__main__":
    sys.exit(main())
