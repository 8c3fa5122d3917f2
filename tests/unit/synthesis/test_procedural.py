"""The built-in dataset: reproducible, imbalanced, grouped, with masks that fit."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.synthesis.procedural import class_sizes, draw, drawings, main, write_dataset


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_rgb_is_written_in_the_layout_of_ham10000(tmp_path: Path) -> None:
    plan = write_dataset(tmp_path, images=40, size=48)
    with (tmp_path / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
    ]
    assert len(rows) == len(plan) == 40
    for row in rows:
        with Image.open(tmp_path / "images" / f"{row['image_id']}.jpg") as image:
            assert (image.mode, image.size) == ("RGB", (48, 48))
    by_lesion: dict[str, set[tuple[str, ...]]] = {}
    for row in rows:
        key = tuple(v for k, v in row.items() if k not in ("image_id", "lesion_id"))
        by_lesion.setdefault(row["lesion_id"], set()).add(key)
    assert all(len(facts) == 1 for facts in by_lesion.values())


def test_grey_is_one_folder_a_class(tmp_path: Path) -> None:
    write_dataset(tmp_path, modality="grey", images=12, size=40)
    assert {p.name for p in tmp_path.iterdir()} == {"no finding", "nodule", "fracture"}
    for path in tmp_path.glob("*/*.png"):
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("L", (40, 40))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_dataset(tmp_path / name, seed=seed, images=10, size=40)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


def test_some_lesions_have_several_images_that_differ() -> None:
    plan = drawings(images=320)
    views = Counter(d.subject for d in plan)
    assert 30 < sum(count > 1 for count in views.values()) < 90
    pair = [d for d in plan if views[d.subject] == 2][:2]
    assert pair[0].subject == pair[1].subject
    assert not np.array_equal(draw(pair[0], size=48)[0], draw(pair[1], size=48)[0])


def test_a_lesion_stays_the_same_in_a_larger_dataset_of_its_views() -> None:
    drawing = drawings(images=20)[0]
    assert np.array_equal(draw(drawing, size=64)[0], draw(drawing, size=64)[0])


def test_the_mask_covers_the_darker_pigment() -> None:
    plan = [d for d in drawings(images=200) if d.label in ("nv", "mel")][:40]
    differences = []
    for drawing in plan:
        pixels, mask = draw(drawing, size=64)
        assert set(np.unique(mask)) <= {0, 255}
        assert 0.02 < (mask > 0).mean() < 0.7
        differences.append(pixels[mask == 0].mean() - pixels[mask > 0].mean())
    assert np.mean(differences) > 40


def test_only_findings_have_a_mask_in_grey() -> None:
    found = {d.label: d for d in drawings(modality="grey", images=30)}
    for label, drawing in found.items():
        pixels, mask = draw(drawing, modality="grey", size=96)
        assert pixels.ndim == 2
        assert bool(mask.any()) == (label != "no finding")


@pytest.mark.parametrize("images", [5, 6, 11, 40, 320, 321, 1000])
def test_sizes_add_up_and_keep_their_proportions(images: int) -> None:
    sizes = class_sizes(images)
    assert sum(sizes.values()) == images
    assert min(sizes.values()) >= 1
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
    if images == 320:
        assert sizes == {"nv": 140, "bkl": 80, "mel": 50, "bcc": 30, "vasc": 20}


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 5"):
        class_sizes(4)
    with pytest.raises(ValueError, match="32 pixels"):
        write_dataset(tmp_path / "x", size=8)
    assert not (tmp_path / "x").exists()


def test_the_command_line_writes_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path / "d"), "--images", "6", "--size", "32"]) == 0
    assert "6 images" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path / "e"), "--images", "2"])


def test_classes_can_be_told_apart_but_not_trivially() -> None:
    """Colour and contrast inside the mask, nearest class mean: above chance, below certainty."""
    plan = drawings(images=150)
    features, labels = [], np.array([d.label for d in plan])
    for drawing in plan:
        pixels, mask = draw(drawing, size=48)
        inside = pixels[mask > 0].astype(float)
        skin = pixels[mask == 0].astype(float).mean(axis=0)
        features.append(np.concatenate([inside.mean(axis=0) - skin, inside.std(axis=0)]))
    table = np.array(features)
    table = (table - table.mean(axis=0)) / table.std(axis=0)
    subjects = np.array([d.subject for d in plan])
    right: dict[str, list[bool]] = {}
    for row, label in enumerate(labels):
        others = subjects != subjects[row]
        means = {c: table[others & (labels == c)].mean(axis=0) for c in set(labels)}
        nearest = min(means, key=lambda c: float(np.linalg.norm(table[row] - means[c])))
        right.setdefault(str(label), []).append(nearest == label)
    balanced = float(np.mean([np.mean(hits) for hits in right.values()]))
    assert 0.3 < balanced < 0.9
