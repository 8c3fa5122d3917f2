from __future__ import annotations

import csv
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ingest.csv_safety import safe_cell
from core.ingest.rejects import Reject, as_csv, as_json_lines


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@SUM(A1)", " =1", "＝1"])
def test_formulas_become_text(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1.5", "+3", "1e-5", "-.5E+3", "nv", "a=b", "", "C:/x"])
def test_numbers_and_text_stay(text: str) -> None:
    assert safe_cell(text) == text


def test_values_that_are_not_text() -> None:
    assert [safe_cell(v) for v in (None, 3, -2.5)] == ["", "3", "-2.5"]


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("x;=1+1", "x;'=1+1"),
        ("x\t@SUM(1)", "x\t'@SUM(1)"),
        ('x; "=1"', 'x; "\'=1"'),
        ("a\n-b", "a\n'-b"),
        ("1;-2;+3.5", "1;-2;+3.5"),
        ("g1;g2", "g1;g2"),
        ("=1;=2", "'=1;'=2"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
    ],
)
def test_formulas_behind_another_separator_become_text(text: str, safe: str) -> None:
    assert safe_cell(text) == safe


FORMULA = re.compile(r"\s*[=+\-@＝＋－＠](?!\s*[\d.])")
CELLS = st.lists(
    st.sampled_from(
        ["=", "@", "+", "-", "＝", ";", ",", "|", "\t", "\n", "\r", '"', " ", "a", "A1"]
    ),
    max_size=12,
)


@given(st.lists(CELLS.map("".join), min_size=1, max_size=3), st.sampled_from(",;|\t"))
def test_no_separator_makes_a_formula(texts: list[str], separator: str) -> None:
    table = io.StringIO(newline="")
    csv.writer(table).writerow(safe_cell(text) for text in texts)
    for row in csv.reader(io.StringIO(table.getvalue(), newline=""), delimiter=separator):
        assert not any(FORMULA.match(cell) for cell in row)


@given(st.text())
def test_no_cell_starts_a_formula(text: str) -> None:
    cell = safe_cell(text)
    assert not cell.strip().startswith(("=", "@"))


def test_rejects_are_written_whole() -> None:
    rejects = [Reject('=cmd|"x"!A1,\n', "bad_name", "é"), Reject("b", "duplicate", "-")]
    rows = list(csv.reader(io.StringIO(as_csv(rejects).decode(), newline="")))
    assert rows == [
        ["name", "code", "detail"],
        ['\'=cmd|"x"!A1,\n', "bad_name", "é"],
        ["b", "duplicate", "'-"],
    ]
    lines = [json.loads(line) for line in as_json_lines(rejects).splitlines()]
    assert lines[1] == {"name": "b", "code": "duplicate", "detail": "-"}
