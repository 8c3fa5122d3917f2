"""``python -m core.backup create | restore | verify``: what ``make backup`` and ``restore`` run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from core.backup import place
from core.backup.create import create
from core.backup.entry import Entry
from core.backup.manifest import Manifest
from core.backup.restore import find, restore, verify
from core.embedded import paths
from core.errors import DermSynthError

MOST_KEYS = 50


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when what was promised holds, 1 when not; a typed error is one line on stderr."""
    options = _parser().parse_args(arguments)
    options.home = Path(options.home).absolute() if options.home else paths.default_home()
    commands = {"create": _create, "restore": _restore, "verify": _verify}
    try:
        return commands[options.command](options)
    except DermSynthError as error:
        _say(f"{error.code}: {error}")
    except (SQLAlchemyError, OSError) as error:
        _say(f"backup_failed: {str(error).splitlines()[0]}")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m core.backup", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("create", "back the service up, running or not"),
        ("restore", "bring it back on an empty target"),
        ("verify", "read a backup and compare every sha256"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("--home", help="of the embedded stack (DERMSYNTH_HOME)")
        if name == "create":
            command.add_argument("--to", type=Path, help="folder (default: HOME-backups)")
        else:
            command.add_argument("--from", dest="origin", type=Path, required=True,
                                 help="a backup, or a folder of backups: the newest")  # fmt: skip
        if name == "restore":
            command.add_argument("--replace", action="store_true", help="lose what is there")
            command.add_argument("--revoke-keys", action="store_true",
                                 help="let no API key of the backup work")  # fmt: skip
    return parser


def _create(options: argparse.Namespace) -> int:
    folder = options.to or options.home.with_name(f"{options.home.name}-backups")
    with place.source(options.home) as service:
        made, manifest = create(service, folder.absolute(), _say)
    _say(f"{manifest.files} files, {manifest.bytes} bytes, migration {manifest.revision}")
    sys.stdout.write(f"{made}\n")
    return _damages(manifest)


def _restore(options: argparse.Namespace) -> int:
    backup = find(options.origin)
    with place.target(options.home) as service:
        manifest, entry = restore(
            service, backup, _say, replace=options.replace, revoke_keys=options.revoke_keys
        )
    sys.stdout.write(f"Restored {backup}\n")
    _tell(entry, manifest)
    if manifest.pepper == "setting":
        _say("Set DERMSYNTH_KEY_PEPPER as it was, or no key of the backup works.")
    return _damages(manifest)


def _tell(entry: Entry, manifest: Manifest) -> None:
    """Say who can come in now: the backup does not know what was revoked after it."""
    _say(f"{entry.sessions_ended} browser sessions and login links were ended.")
    if entry.keys_revoked:
        _say(f"{entry.keys_revoked} API keys were revoked; make one: dermsynth keys create --admin")
    if not entry.keys:
        return
    _say(
        f"{len(entry.keys)} API keys work, also those that were revoked after "
        f"{manifest.created_at:%Y-%m-%d %H:%M:%S} UTC. End what should not: "
        "dermsynth keys revoke ID. They are:"
    )
    for line in entry.keys[:MOST_KEYS]:
        _say(f"  {line}")
    if len(entry.keys) > MOST_KEYS:
        _say(f"  and {len(entry.keys) - MOST_KEYS} more: dermsynth keys list")


def _verify(options: argparse.Namespace) -> int:
    backup = find(options.origin)
    manifest, sums = verify(backup)
    sys.stdout.write(f"{backup}: {len(sums.known)} files are as they were written\n")
    return _damages(manifest)


def _damages(manifest: Manifest) -> int:
    """Tell what the service itself had lost when it was backed up."""
    for damage in manifest.damaged:
        _say(f"backup_of_damaged_service: {damage.name} is {damage.why}")
    return 1 if manifest.damaged else 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
