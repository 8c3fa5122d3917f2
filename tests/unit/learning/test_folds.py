"""The fold table is frozen, hashed, and the same for whoever computes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.errors import InvalidInput, JobFailed
from core.learning.cohort import cohort
from core.learning.comparison import Question
from core.learning.folds import (
    DROPPED,
    TRAIN,
    check_same,
    fold_table,
    seeds_of,
    table_of_seed,
    write_folds,
)
from core.learning.predictions import Block, merge_parts, read_predictions, write_part
from core.manifest import ImageRecord
from tests.unit.learning.made_up import record, synthetic


def images(sides: str = "") -> list[ImageRecord]:
    return [
        record(f"{c}{i}", c, f"{c}{i // 2}", metadata={"source_split": sides} if sides else {})
        for c in "ab"
        for i in range(20)
    ]


def test_the_hash_does_not_depend_on_the_order_of_the_manifest() -> None:
    one, two = (
        fold_table(cohort(rows), design="cv", folds=5, repeats=3, seed=4)
        for rows in (images(), images()[::-1])
    )
    assert one.sha256 == two.sha256
    assert one.seeds == (4, 5, 6)
    assert len(one.pairs()) == 15
    other = fold_table(cohort(images()), design="cv", folds=5, repeats=3, seed=5)
    assert other.sha256 != one.sha256


def test_every_image_is_tested_once_a_seed() -> None:
    table = fold_table(cohort(images()), design="cv", folds=5, repeats=2, seed=0)
    for seed in table.seeds:
        tested = np.concatenate([table.sides(seed, fold)[1] for fold in range(5)])
        assert sorted(tested.tolist()) == list(range(40))
    assert table.tested.all()


def test_only_real_images_that_are_not_quarantined_are_in_it() -> None:
    rows = images()
    bad = record("bad", "a", "bad", quarantined=True)
    assert len(cohort([*rows, bad, synthetic("s", rows[0])])) == 40


def test_one_class_is_a_typed_error() -> None:
    with pytest.raises(InvalidInput) as caught:
        cohort(images()[:20])
    assert caught.value.code == "too_few_classes"


def test_holdout_drops_training_images_that_share_a_group_with_the_test_side() -> None:
    rows = [
        record("t1", "a", "g1", metadata={"source_split": "test"}),
        record("t2", "b", "g2", metadata={"source_split": "Test"}),
        record("r1", "a", "g1", metadata={"source_split": "train"}),
        record("r2", "a", "g3", metadata={"source_split": "train"}),
        record("r3", "b", "g4", metadata={"source_split": "val"}),
        record("r4", "b", "g5"),
    ]
    members = cohort(rows)
    table = fold_table(members, design="holdout", folds=5, repeats=2, seed=0)
    place = {r.image_id: i for i, r in enumerate(members.records)}
    by_name = {name: int(table.folds[0][i]) for name, i in place.items()}
    assert by_name == {
        "img_t1": 0,
        "img_t2": 0,
        "img_r1": DROPPED,
        "img_r2": TRAIN,
        "img_r3": TRAIN,
        "img_r4": DROPPED,
    }
    assert table.dropped == 2
    assert table.pairs() == [(0, 0), (1, 0)]
    train, test = table.sides(1, 0)
    assert {members.records[i].image_id for i in train} == {"img_r2", "img_r3"}
    assert len(test) == 2
    assert table.tested.sum() == 2


@pytest.mark.parametrize("sides", ["", "train", "test"])
def test_holdout_without_an_official_split_is_refused(sides: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        fold_table(cohort(images(sides)), design="holdout", folds=5, repeats=1, seed=0)
    assert caught.value.code == "no_official_split"


def test_another_table_is_noticed() -> None:
    table = fold_table(cohort(images()), design="cv", folds=5, repeats=1, seed=0)
    check_same(table, table.sha256)
    with pytest.raises(JobFailed) as caught:
        check_same(table, "0" * 64)
    assert caught.value.code == "fold_table_changed"


def test_a_seed_alone_gives_its_part_of_the_table() -> None:
    members = cohort(images())
    table = fold_table(members, design="cv", folds=5, repeats=3, seed=4)
    alone = fold_table(members, design="cv", folds=5, repeats=1, seed=5)
    part = table_of_seed(table, members, 5)
    assert (part.folds == alone.folds).all()
    assert part.sha256 == alone.sha256 != table.sha256


def test_seeds_wrap_within_32_bits() -> None:
    assert seeds_of(2**32 - 1, 3) == (2**32 - 1, 0, 1)


def test_folds_are_published_for_anyone(tmp_path: Path) -> None:
    members = cohort(images())
    table = fold_table(members, design="cv", folds=5, repeats=2, seed=0)
    write_folds(table, members, tmp_path / "folds.parquet")
    rows = pq.read_table(tmp_path / "folds.parquet").to_pylist()
    assert len(rows) == 80
    assert set(rows[0]) == {"image_id", "label", "group", "seed", "fold"}


def test_predictions_return_as_they_were_written(tmp_path: Path) -> None:
    members = cohort(images())
    table = fold_table(members, design="cv", folds=5, repeats=2, seed=0)
    rng = np.random.default_rng(0)
    whole = rng.dirichlet([1, 1], (2, 40)).astype(np.float32)
    parts = []
    for seed, fold in table.pairs():
        test = table.sides(seed, fold)[1]
        parts.append(tmp_path / f"{seed}-{fold}.parquet")
        block = Block("real", "lr", whole[table.seeds.index(seed)][test])
        assert write_part(parts[-1], members, test, seed, fold, [block]) == len(test)
    question = Question(members.classes, "lr", (), augmented=False, seed=0)
    merge_parts(parts, tmp_path / "all.parquet", members, question)
    models = [("real", "lr"), ("synthetic", "lr")]
    found = read_predictions(tmp_path / "all.parquet", members, table, models)
    assert (found.probabilities[0] == whole).all()
    assert found.complete(0)
    assert not found.complete(1)
    assert (found.decisions(0) == whole.argmax(axis=-1)).all()
    row = pq.read_table(tmp_path / "all.parquet").to_pylist()[0]
    assert set(row) >= {"image_id", "seed", "fold", "arm", "probabilities"}


def test_predictions_of_another_table_are_refused(tmp_path: Path) -> None:
    members = cohort(images())
    table = fold_table(members, design="cv", folds=5, repeats=1, seed=0)
    test = table.sides(0, 1)[1]
    block = Block("real", "lr", np.full((len(test), 2), 0.5, dtype=np.float32))
    write_part(tmp_path / "a.parquet", members, test, 0, 3, [block])
    with pytest.raises(JobFailed):
        read_predictions(tmp_path / "a.parquet", members, table, [("real", "lr")])
