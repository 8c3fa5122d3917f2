from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.export.names import LONGEST, file_name, safe_component, unique
from core.ingest.names import safe_name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("melanoma", "melanoma"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a/b\\c", "a_b_c"),
        ("CON", "_CON"),
        ("nul.png", "_nul.png"),
        (" . ", "class"),
        ("", "class"),
        ("\x00\x1f", "class"),
        ("-rf", "rf"),
        ("naïve  naevus", "naïve naevus"),
    ],
)
def test_components(text: str, expected: str) -> None:
    assert safe_component(text, "class") == expected


@given(st.text(max_size=300))
def test_any_text_gives_a_component_that_an_import_takes(text: str) -> None:
    made = safe_component(text, "class")
    assert made == made.strip(" .")
    assert len(made.encode()) <= LONGEST + 1
    assert "/" not in made
    assert safe_name(made) == unicodedata.normalize("NFC", made)


@pytest.mark.parametrize(
    ("filename", "media_type", "expected"),
    [
        ("nv/ISIC_1.jpg", "image/jpeg", "ISIC_1.jpg"),
        ("scan.dcm", "image/png", "scan.png"),
        ("C:\\photos\\x.TIFF", "image/png", "x.png"),
        ("v1.2 final", "image/png", "v1.2 final.png"),
        (".png", "image/png", "png.png"),
        ("", "image/png", "fallback.png"),
        ("x", "application/strange", "x.bin"),
    ],
)
def test_the_ending_says_what_the_bytes_are(filename: str, media_type: str, expected: str) -> None:
    assert file_name(filename, media_type, "fallback") == expected


def test_names_that_differ_by_case_only_get_numbers() -> None:
    assert unique(["a/x.png", "a/X.png", "a/x.png", "b/x.png"]) == [
        "a/x.png",
        "a/X_2.png",
        "a/x_3.png",
        "b/x.png",
    ]
    assert unique(["x.png", "x.png", "x_2.png"]) == ["x.png", "x_3.png", "x_2.png"]


@given(st.lists(st.sampled_from(["a", "A", "a_2", "b.png", "B.png", "b_2.png"]), max_size=12))
def test_numbered_names_are_unique(names: list[str]) -> None:
    made = unique(names)
    assert len({name.casefold() for name in made}) == len(names)
