"""Predictions made elsewhere: what is right is read, everything else is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.errors import InvalidInput
from core.learning.cohort import cohort
from core.learning.external import check_table, read_external
from core.learning.folds import fold_table
from tests.unit.learning.made_up import record

MEMBERS = cohort([record(f"{c}{i}", c, f"{c}{i}") for c in "ab" for i in range(10)])
TABLE = fold_table(MEMBERS, design="cv", folds=2, repeats=2, seed=0)
Change = Callable[[pd.DataFrame], pd.DataFrame]


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    share = rng.random(40).round(3)
    return pd.DataFrame(
        {
            "image_id": [r.image_id for r in MEMBERS.records] * 2,
            "seed": np.repeat(TABLE.seeds, 20),
            "fold": TABLE.folds.reshape(-1),
            "probability_a": share,
            "probability_b": 1 - share,
        }
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rows_of_any_order_are_read(tmp_path: Path, kind: str) -> None:
    given = frame()
    path = tmp_path / f"given.{kind}"
    shuffled = given.sample(frac=1, random_state=1)
    if kind == "csv":
        shuffled.to_csv(path, index=False)
    else:
        shuffled.to_parquet(path, index=False)
    found = read_external(path, MEMBERS, TABLE)
    assert found.shape == (2, 20, 2)
    assert np.allclose(found.reshape(-1, 2), given[["probability_a", "probability_b"]])


def test_one_seed_needs_no_column(tmp_path: Path) -> None:
    table = fold_table(MEMBERS, design="cv", folds=2, repeats=1, seed=0)
    given = frame()[:20].drop(columns="seed")
    given.to_csv(tmp_path / "x.csv", index=False)
    assert read_external(tmp_path / "x.csv", MEMBERS, table).shape == (1, 20, 2)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda f: f.drop(columns="probability_b"), "external_columns", "probability_b"),
        (lambda f: f.drop(columns="seed"), "external_columns", "seed"),
        (lambda f: f.assign(probability_c=0.0), "external_columns", "probability_c"),
        (lambda f: f.replace({"image_id": {"img_a0": "img_zz"}}), "external_ids", "img_zz"),
        (lambda f: f.replace({"seed": {1: 7}}), "external_ids", "7"),
        (lambda f: f.assign(fold=1 - f["fold"]), "external_folds", "40 rows"),
        (lambda f: f[1:], "external_missing", "1 images have no prediction"),
        (lambda f: pd.concat([f, f[:1]]), "external_duplicates", "more than one"),
        (lambda f: f.assign(probability_a=0.9, probability_b=0.2), "external_probabilities", "sum"),
        (lambda f: f.assign(probability_a=1.5, probability_b=-0.5), "external_probabilities", "0"),
        (lambda f: f.assign(probability_a=np.nan), "external_probabilities", "40 rows"),
        (lambda f: f.assign(probability_a="much"), "external_probabilities", "no number"),
        (lambda f: f[:0], "external_missing", "40 images"),
    ],
)
def test_what_is_wrong_is_refused(tmp_path: Path, change: Change, code: str, words: str) -> None:
    change(frame()).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(InvalidInput) as caught:
        read_external(tmp_path / "x.csv", MEMBERS, TABLE)
    assert caught.value.code == code
    assert words in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"PAR1 but no more", b"\xff\xfe\x00\x01", b'a,b\n"1'])
def test_what_is_no_table_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(InvalidInput) as caught:
        read_external(tmp_path / "x", MEMBERS, TABLE)
    assert caught.value.code == "external_columns"


def test_another_fold_table_is_refused() -> None:
    check_table(TABLE, TABLE.sha256)
    with pytest.raises(InvalidInput) as caught:
        check_table(TABLE, "0" * 64)
    assert caught.value.code == "external_folds"
