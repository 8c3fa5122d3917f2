"""What licences allow: one row each, and whether an export for a purpose is allowed by all of them.

A row says what the licence's text grants, not what a user may have agreed with the owner. What is
not known is not allowed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Purpose = Literal["internal", "share", "commercial"]

UNKNOWN = "unknown"
RESEARCH_USE = "research-use-only"


@dataclass(frozen=True, slots=True)
class Licence:
    """One licence.

    redistribute: pass copies on. derivatives: pass on what was made from it. commercial: do so for
    money. share_alike: only under the same licence. attribution: name the author. ``source`` is the
    text as it was given, where it is not the id.
    """

    id: str
    redistribute: bool
    derivatives: bool
    commercial: bool
    share_alike: bool
    attribution: bool
    source: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an export is not allowed; ``licence`` is the row that forbids it."""

    licence: Licence
    reason: str


def _creative_commons() -> Iterable[Licence]:
    for version in ("", "-1.0", "-2.0", "-2.5", "-3.0", "-4.0"):
        for terms in ("BY", "BY-SA", "BY-NC", "BY-NC-SA", "BY-ND", "BY-NC-ND"):
            parts = terms.split("-")
            yield Licence(
                id=f"CC-{terms}{version}",
                redistribute=True,
                derivatives="ND" not in parts,
                commercial="NC" not in parts,
                share_alike="SA" in parts,
                attribution=True,
            )


_ROWS = (
    Licence("CC0-1.0", True, True, True, False, False),
    Licence("PDDL-1.0", True, True, True, False, False),
    *_creative_commons(),
    Licence("ODC-By-1.0", True, True, True, False, True),
    Licence("ODbL-1.0", True, True, True, True, True),
    Licence("CDLA-Permissive-2.0", True, True, True, False, False),
    Licence("Apache-2.0", True, True, True, False, True),
    Licence("MIT", True, True, True, False, True),
    Licence("BSD-2-Clause", True, True, True, False, True),
    Licence("BSD-3-Clause", True, True, True, False, True),
    Licence(RESEARCH_USE, False, False, False, False, True),
    Licence(UNKNOWN, False, False, False, False, True),
)
LICENCES: dict[str, Licence] = {row.id: row for row in _ROWS}

_ALIASES = {
    "cc0": "CC0-1.0",
    "cc-0": "CC0-1.0",
    "cc-0-1.0": "CC0-1.0",
    "cc-zero": "CC0-1.0",
    "cc-zero-1.0": "CC0-1.0",
    "cc0-1.0-universal": "CC0-1.0",
    "public-domain": "CC0-1.0",
    "publicdomain": "CC0-1.0",
    "publicdomain-zero-1.0": "CC0-1.0",
    "pddl": "PDDL-1.0",
    "odc-by": "ODC-By-1.0",
    "odbl": "ODbL-1.0",
    "apache": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "expat": "MIT",
    "academic-use-only": RESEARCH_USE,
    "non-commercial-research": RESEARCH_USE,
}
_BY_KEY = {row.id.casefold(): row for row in _ROWS} | {
    alias: LICENCES[name] for alias, name in _ALIASES.items()
}
_WORDS = (
    ("creative-commons", "cc"),
    ("non-commercial", "nc"),
    ("noncommercial", "nc"),
    ("no-derivatives", "nd"),
    ("no-derivs", "nd"),
    ("noderivatives", "nd"),
    ("noderivs", "nd"),
    ("share-alike", "sa"),
    ("sharealike", "sa"),
    ("attribution", "by"),
)
_FILLERS = re.compile(
    r"-(international|unported|deed|licen[sc]ed?|version|universal|dedication)(?=-|$)"
)
_ADDRESS = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/(?:licenses|publicdomain)/([^\s?#]+)"
)
_RESEARCH = re.compile(r"\b(research|academic|educational)\b")


def licence(name: str) -> Licence:
    """Return the row of one licence, however it is spelt; an unknown one allows nothing.

    ``CC BY-NC 4.0``, ``cc-by-nc-4.0``, its long name and its address are one licence.
    """
    text = " ".join(unicodedata.normalize("NFKC", name).split())
    found = _BY_KEY.get(_key(text))
    if found is not None:
        return found
    row = LICENCES[RESEARCH_USE if _RESEARCH.search(text.casefold()) else UNKNOWN]
    given = text[:200]
    if given.casefold() in {"", row.id}:
        return row
    return Licence(
        row.id,
        row.redistribute,
        row.derivatives,
        row.commercial,
        row.share_alike,
        row.attribution,
        source=given,
    )


def lineage(texts: Iterable[str]) -> tuple[Licence, ...]:
    """Return the licences of all sources, each once, in order of their ids.

    A text may list several, separated by ``;``. A source that says nothing is ``unknown``.
    """
    found: dict[tuple[str, str], Licence] = {}
    for text in texts:
        for part in [p for p in text.split(";") if p.strip()] or [UNKNOWN]:
            row = licence(part)
            found[(row.id, row.source)] = row
    return tuple(found[key] for key in sorted(found))


def address(row: Licence) -> str:
    """Return where a Creative Commons licence can be read; empty for others."""
    match = re.fullmatch(r"CC-((?:BY|NC|ND|SA|-)+)-(\d\.\d)", row.id)
    if match:
        return f"https://creativecommons.org/licenses/{match[1].lower()}/{match[2]}/"
    zero = row.id == "CC0-1.0"
    return "https://creativecommons.org/publicdomain/zero/1.0/" if zero else ""


def refusal(licences: Sequence[Licence], purpose: Purpose, *, derived: bool) -> Refusal | None:
    """Return why the licences forbid an export, or None when they allow it.

    ``derived``: the export holds images made from others (an adaptation in the sense of the
    licences); a changed file format is none.
    """
    if purpose == "internal":
        return None
    for row in licences:
        if not row.redistribute:
            return Refusal(row, _unclear(row))
        if derived and not row.derivatives:
            return Refusal(row, f"{row.id} allows copies, but nothing made from them, to be shared")
        if purpose == "commercial" and not row.commercial:
            return Refusal(row, f"{row.id} forbids commercial use")
    return _conflict(licences) if derived else None


def _unclear(row: Licence) -> str:
    named = f" ({row.source})" if row.source else ""
    if row.id == RESEARCH_USE:
        return f"a source is for research use only{named}: it may be exported as internal only"
    return f"the licence of a source is unknown{named}: it may be exported as internal only"


def _conflict(licences: Sequence[Licence]) -> Refusal | None:
    """Find a share-alike licence that a work made from all of the sources cannot obey."""
    for row in licences:
        for other in licences:
            stricter = not other.commercial and row.commercial
            both = other.share_alike and _terms(other) != _terms(row)
            if row.share_alike and (stricter or both):
                return Refusal(
                    row,
                    f"{row.id} asks for its own terms on everything made from it, {other.id} "
                    "forbids them: a work made from both cannot be shared",
                )
    return None


def _terms(row: Licence) -> str:
    return row.id.rstrip("0123456789.-")


def _key(text: str) -> str:
    address = _ADDRESS.search(text.casefold())
    if address is not None:
        path = address[1].strip("/").split("/")
        start = "publicdomain" if path[0] == "zero" else "cc"
        return "-".join([start, *path[:2]])
    key = re.sub(r"[\s_,/()]+", "-", text.casefold()).strip("-.")
    key = re.sub(r"-v\.?(?=\d)", "-", key)
    for word, short in _WORDS:
        key = key.replace(word, short)
    key = _FILLERS.sub("", f"-{key}").strip("-")
    key = re.sub(r"^(by|nc|nd|sa)(?=-)", r"cc-\1", key)
    return re.sub(r"-+", "-", key).replace("cc-cc", "cc")
