"""Features, augmentation and import against plain scripts in the style of the course project."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from core.features.contract import BACKBONES, Backbone, Weights, backbone
from core.features.extract import FeatureItem, features
from core.features.network import Network, has_bf16
from core.ids import new_id
from core.ingest.images import decode
from core.ingest.intake import IntakeOptions, ingest
from core.jobs.context import Inputs
from core.jobs.runtime import JobRuntime, JobTask
from core.jobs.shards import shard_bounds
from core.storage.blobs import stage
from core.synthesis.contract import GENERATORS
from core.synthesis.procedural import write_dataset
from core.synthesis.production import PixelCache, near_each_other, produce, usable_sources
from tests.bench.measure import Row, alternating, ratio_row

IMAGES, IMPORTED = 320, 600
SIZE = 224
IMPORTED_SIDE = 520
"""As many pixels as the 600 x 450 of HAM10000 (Tschandl et al. 2018)."""
_SENSOR_NOISE = 5.0
"""Standard deviation of a photograph's noise, grey levels: JPEGs a third as large as HAM10000's."""
THREADS = os.cpu_count() or 1
RANDOM = "resnet18_random"


class Bench:
    """One dataset, imported once, on which all three are measured."""

    def __init__(self, folder: Path) -> None:
        cv2.setNumThreads(1)  # as in a worker; its threads would not survive a fork
        self.folder = folder
        self.files, self.archive = drawn(folder / "dataset", IMAGES)
        self.runtime = self._runtime()
        self.intake = ingest(
            self.archive, IntakeOptions(), self.runtime.put, lambda *_: None, THREADS
        )

    def _runtime(self) -> JobRuntime:
        task = JobTask(
            job_id=new_id("job"), kind="noop", attempt=1, params={}, inputs=Inputs(),
            data_dir=self.folder / "volume", weights_dir=self.folder / "weights",
            device="auto", threads=THREADS,
        )  # fmt: skip
        return JobRuntime(task, lambda _: None)

    def rows(self, names: Collection[str] = ()) -> Iterator[Row]:
        """Measure the rows of these names; none: all."""
        for name, row in self.ROWS.items():
            if not names or name in names:
                yield row(self)

    # features

    def features(self) -> Row:
        _register_random_resnet18(self.folder)
        items = [FeatureItem(record.sha256) for record in self.intake.records]
        plain = self.folder / "by_class"
        for record in self.intake.records:
            target = plain / record.label / Path(record.filename).name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.runtime.blob(record.sha256), target)

        def ours() -> None:
            features(self.runtime, items, RANDOM, persist=False)

        ours_s, peer_s = alternating(ours, lambda: plain_features(plain))
        self._check_agreement()
        n = len(items)
        bf16 = has_bf16(self.runtime.device)
        against = "ImageFolder + DataLoader(16), eager ResNet18, random weights:"
        goal = 2.0 if bf16 else 1.3
        return ratio_row("features", n / ours_s, n / peer_s, "images/s", against, goal)

    def _check_agreement(self) -> None:
        """Features in the hardware's number format agree with float32 at cosine >= 0.999."""
        spec = BACKBONES.get(RANDOM)
        rng = np.random.default_rng(0)
        squares = rng.integers(0, 256, (32, spec.size, spec.size, 3), dtype=np.uint8)
        weights = spec.find(self.folder)
        fast = Network(spec, weights, self.runtime.device)(squares)
        exact = _eager(spec, squares)
        cosine = (
            (fast * exact).sum(1) / np.linalg.norm(fast, axis=1) / np.linalg.norm(exact, axis=1)
        )
        if float(cosine.min()) < 0.999:
            raise SystemExit(f"features disagree with float32: cosine {cosine.min():.5f}")

    # augmentation

    def augment(self, name: str, raw: dict[str, Any], goal: float) -> Row:
        """Augment as a synthesize job of the demo does, against a script that saves image by image.

        Each real image gives five, as in the demo, and every class as many as the others, so that
        each operation is done as often as in the script, which makes as many. Both write JPEG
        of quality 95 into a folder that is new in each round: a file written over, or made just
        after others were removed, costs the disk several times as much. Ours divides the plan as
        the job does, over one process a slot.
        """
        generator = GENERATORS.get("augment")
        params = generator.params.model_validate(raw)
        sources = usable_sources(self.intake.records, "all")
        labels = sorted({source.label for source in sources})
        counts = dict.fromkeys(labels, 5 * len(sources) // len(labels))
        orders = near_each_other(generator.instance.plan(params, sources, counts, 0))
        shards = [orders[start:stop] for start, stop in shard_bounds(len(orders))]
        folders = (self.folder / f"{name}_{number}" for number in itertools.count())

        def ours() -> None:
            out = next(folders)

            def slot(part: int) -> None:
                for shard in shards[part::THREADS]:
                    load = PixelCache(lambda sha256: decode(self.runtime.blob(sha256)), size=3)
                    for made in produce(generator, params, shard, load, threads=1):
                        stage(made.data, out)

            _in_slots(slot)

        def peer() -> None:
            out = next(folders)
            out.mkdir()
            plain_augmentation(self.files, out, len(orders))

        ours_s, peer_s = alternating(ours, peer)
        n = len(orders)
        return ratio_row(name, n / ours_s, n / peer_s, "images/s", "PIL, one by one:", goal)

    def as_the_seed(self) -> Row:
        """Make the very pixels of the script, with Pillow."""
        return self.augment("augment_seed", {"policy": "seed_generate"}, 1.5)

    def as_the_script(self) -> Row:
        """Do what the script does to one class each: mirror, turn, colour, blur, zoom."""
        operations: list[dict[str, Any]] = [
            {"op": "flip", "axis": "horizontal"},
            {"op": "rotate", "degrees": [15, 45], "border": "black"},
            {"op": "colour", "factor": [1.2, 1.5]},
            {"op": "blur", "sigma": [1, 1]},
            {"op": "zoom", "factor": [1.25, 1.25]},
        ]
        labels = sorted({record.label for record in self.intake.records})
        turns = itertools.cycle(operations)
        policies = {label: [next(turns)] for label in labels}
        return self.augment("augment", {"per_class": policies}, 3.0)

    # import

    def import_(self) -> Row:
        """Import an archive of photographs of HAM10000's size."""
        files, packed = photographed(self.folder / "many", IMPORTED, IMPORTED_SIDE)
        rounds = itertools.count()

        def ours() -> None:
            # a new folder a round: the file system is slow to create files where some have just
            # been deleted, and no import deletes
            out = self.folder / "imported" / str(next(rounds))
            ingest(packed, IntakeOptions(), lambda data: stage(data, out), lambda *_: None, THREADS)

        def peer() -> None:
            for path in files:
                with Image.open(path) as image:
                    image.load()

        ours_s, peer_s = alternating(ours, peer)
        n = len(files)
        against = (
            f"Pillow decoding JPEGs of {packed.stat().st_size / n / 1e3:.0f} kB in one process:"
        )
        return ratio_row("import", n / ours_s, n / peer_s, "images/s", against, 0.6)

    ROWS: ClassVar[Mapping[str, Callable[[Bench], Row]]] = {
        "features": features,
        "augment": as_the_script,
        "augment_seed": as_the_seed,
        "import": import_,
    }


def drawn(folder: Path, images: int, size: int = SIZE) -> tuple[list[Path], Path]:
    """Draw a dataset of JPEGs; returns its files and an archive of it."""
    write_dataset(folder, seed=5, images=images, size=size)
    packed = folder.with_suffix(".zip")
    _pack(folder, packed)
    return sorted(folder.rglob("*.jpg")), packed


def photographed(folder: Path, images: int, size: int) -> tuple[list[Path], Path]:
    """Draw a dataset whose JPEGs hold a camera's noise; returns its files and an archive of it."""
    files, packed = drawn(folder, images, size)
    rng = np.random.default_rng(0)
    for path in files:
        pixels = cv2.imread(str(path))
        noisy = np.clip(pixels + rng.normal(0, _SENSOR_NOISE, pixels.shape), 0, 255)
        cv2.imwrite(str(path), noisy.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])
    _pack(folder, packed)
    return files, packed


def _pack(folder: Path, packed: Path) -> None:
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))


def _in_slots(work: Callable[[int], None]) -> None:
    """Work as a worker does: one process a slot, forked from a warm parent."""
    forked = multiprocessing.get_context("fork")
    slots = [forked.Process(target=work, args=(part,)) for part in range(THREADS)]
    for slot in slots:
        slot.start()
    for slot in slots:
        slot.join()
    if any(slot.exitcode for slot in slots):
        raise SystemExit("a shard failed")


def _register_random_resnet18(folder: Path) -> None:
    if RANDOM in BACKBONES:
        return
    spec = BACKBONES.get("resnet18")
    weights = Weights(folder / "none", "random")
    backbone(
        Backbone(
            name=RANDOM, dimension=spec.dimension, size=spec.size, mean=spec.mean, std=spec.std,
            find=lambda _: weights, build=lambda _: _seeded(spec), licence=spec.licence,
            summary="ResNet18 with random weights, for measuring speed only.",
        )
    )  # fmt: skip


def _seeded(spec: Backbone) -> object:
    import torch

    torch.manual_seed(0)
    return spec.build(None)


def _eager(spec: Backbone, squares: np.ndarray) -> np.ndarray:
    import torch

    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (spec.mean, spec.std))
    images = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        return _seeded(BACKBONES.get("resnet18"))((images - mean) / std).numpy()  # type: ignore[operator]


def plain_features(folder: Path) -> None:
    """Extract features as the course project did: one eager network, batches of 16."""
    import torch

    from core.features.torchvision_loader import load_torchvision

    load_torchvision()
    from torch.utils.data import DataLoader
    from torchvision import datasets, models, transforms

    torch.set_num_threads(THREADS)
    network = models.resnet18(weights=None)
    network.fc = torch.nn.Identity()
    network.eval()
    prepare = transforms.Compose(
        [
            transforms.Resize((224, 224)),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    loader = DataLoader(datasets.ImageFolder(str(folder), prepare), batch_size=16)
    with torch.no_grad():
        for images, _ in loader:
            network(images)


def plain_augmentation(files: list[Path], out: Path, count: int) -> None:
    """Augment as the course project did: open, change, save, one after the other."""
    rng = random.Random(0)
    for index in range(count):
        with Image.open(rng.choice(files)) as opened:
            image = opened.convert("RGB")
        width, height = image.size
        match index % 5:
            case 0:
                image = ImageOps.mirror(image)
            case 1:
                image = image.rotate(rng.choice([15, 30, 45]))
            case 2:
                image = ImageEnhance.Color(image).enhance(rng.uniform(1.2, 1.5))
            case 3:
                image = image.filter(ImageFilter.GaussianBlur(1))
            case _:
                box = (width * 0.1, height * 0.1, width * 0.9, height * 0.9)
                image = image.crop(tuple(map(int, box))).resize((width, height))
        image.save(out / f"{index}.jpg", quality=95)
