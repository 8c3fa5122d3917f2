"""Writes the configuration table of README.md from the settings; ``--check`` fails if it is old."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from core.config import GIB, Settings  # noqa: E402 - the script runs from anywhere

README = ROOT / "README.md"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"


def variable(name: str, field: FieldInfo) -> str:
    """Return the environment variable of a field."""
    if isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[0])
    return f"{Settings.model_config.get('env_prefix', '')}{name}".upper()


def shown(value: object) -> str:
    """Return a default as it would be written in the environment, sizes in GiB beside it."""
    if value == "":
        return "empty"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value >= GIB and value % GIB == 0:
        return f"`{value}` ({value // GIB} GiB)"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def table() -> str:
    """Return the Markdown table, one row a setting."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{variable(name, field)}` | {shown(field.default)} | {meaning} |")
    return "\n".join(rows)


def filled(text: str) -> str:
    """Return the README's text with the table of now between the markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"README.md lacks the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Write the table, or with --check say whether it is current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    text = README.read_text(encoding="utf-8")
    if filled(text) == text:
        return 0
    if check:
        sys.stderr.write("README.md: the settings are old; run python scripts/readme_settings.py\n")
        return 1
    README.write_text(filled(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
