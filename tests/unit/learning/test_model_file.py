"""Models are read by hash and by a fixed list of types, never by pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.svm import SVC

from core.errors import JobFailed
from core.learning.contract import CLASSIFIERS
from core.learning.model_file import (
    INTENDED_USE,
    ModelInfo,
    dump_estimator,
    dump_info,
    library_versions,
    load_model,
    model_blob,
)

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 4)).astype(np.float32), RNG.integers(0, 3, 60)


def info_of(data: bytes, classifier: str) -> ModelInfo:
    return ModelInfo(
        classes=("a", "b", "c"),
        backbone="efficientnet_lite0",
        backbone_sha256="0" * 64,
        dimension=4,
        classifier=classifier,
        params={},
        seed=0,
        versions=library_versions(),
        training_version_ids=("dsv_" + "0" * 26,),
        model_sha256=hashlib.sha256(data).hexdigest(),
    )


def stored(folder: Path, data: bytes, info: ModelInfo) -> tuple[Path, Path]:
    (folder / "model.skops").write_bytes(data)
    (folder / "model.json").write_bytes(dump_info(info))
    return folder / "model.skops", folder / "model.json"


@pytest.mark.parametrize("name", [n for n, one in CLASSIFIERS if one.sees == "features"])
def test_every_classifier_comes_back_the_same(name: str, tmp_path: Path) -> None:
    entry = CLASSIFIERS.get(name)
    model = entry.build(entry.params(), 0, 1).fit(X, Y)
    data = dump_estimator(model)
    again, info = load_model(*stored(tmp_path, data, info_of(data, name)))
    assert (again.predict_proba(X) == model.predict_proba(X)).all()
    assert info == info_of(data, name)
    assert json.loads((tmp_path / "model.json").read_text())["intended_use"] == INTENDED_USE


def refused(*paths: Path) -> str:
    with pytest.raises(JobFailed) as caught:
        load_model(*paths)
    assert caught.value.code == "model_corrupt"
    return caught.value.detail


def test_changed_bytes_are_refused(tmp_path: Path) -> None:
    entry = CLASSIFIERS.get("logistic_regression")
    data = dump_estimator(entry.build(entry.params(), 0, 1).fit(X, Y))
    paths = stored(tmp_path, data + b"x", info_of(data, "logistic_regression"))
    assert "bytes" in refused(*paths)


def test_a_foreign_type_is_refused(tmp_path: Path) -> None:
    class Foreign(SVC):  # type: ignore[misc]
        pass

    Foreign.__module__ = "somewhere.else"
    data = skops.io.dumps(Foreign().fit(X, Y))
    paths = stored(tmp_path, data, info_of(data, "logistic_regression"))
    assert "somewhere.else" in refused(*paths)


def test_a_type_of_another_classifier_is_refused(tmp_path: Path) -> None:
    entry = CLASSIFIERS.get("random_forest")
    data = dump_estimator(entry.build(entry.params(), 0, 1).fit(X, Y))
    refused(*stored(tmp_path, data, info_of(data, "logistic_regression")))


def test_garbage_is_refused(tmp_path: Path) -> None:
    refused(*stored(tmp_path, b"no zip", info_of(b"no zip", "random_forest")))


@pytest.mark.parametrize("change", [{"format": 2}, {"surprise": 1}, {"classes": None}])
def test_a_strange_description_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    fields = replace(info_of(b"", "random_forest")).as_json() | change
    (tmp_path / "model.json").write_text(json.dumps(fields))
    (tmp_path / "model.skops").write_bytes(b"")
    refused(tmp_path / "model.skops", tmp_path / "model.json")


def test_the_weights_are_found_by_their_name() -> None:
    assert model_blob({"model.json": "a", "model.skops": "b"}) == "b"
    assert model_blob({"model.json": "a", "model.safetensors": "c"}) == "c"
    with pytest.raises(JobFailed, match=r"model\.skops"):
        model_blob({"model.json": "a", "weights.pickle": "d"})
