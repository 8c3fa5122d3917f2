"""Makes stored images from orders: size, encoding, provenance, records; and replays them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from core.annotations import MASK, annotation_blobs
from core.errors import InvalidInput
from core.ids import new_id
from core.ingest.images import pixel_sha256
from core.manifest import ImageRecord
from core.pointers import invalid
from core.synthesis import geometry
from core.synthesis.contract import (
    GENERATORS,
    Asset,
    GeneratorParams,
    GeneratorSpec,
    LoadPixels,
    Order,
    Pixels,
    Source,
    Workplace,
)
from core.synthesis.parameters import POINTER
from core.synthesis.recent import Recent

_DIGITS = 9
_JPEG = [
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420),
]
_PNG = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
]


@dataclass(frozen=True, slots=True)
class Finished:
    """A synthetic image as it is stored: ``pixels`` are what was encoded as ``data``."""

    order: Order
    data: bytes
    pixels: Pixels
    pixel_sha256: str
    media_type: str
    provenance: dict[str, Any]
    annotations: dict[str, bytes] = field(default_factory=dict)
    """Files by name, of the size of the image; a mask is a PNG."""


def usable_sources(
    records: Iterable[ImageRecord], sources: Literal["train", "all"]
) -> list[Source]:
    """Return the real, not quarantined images of the training split or of all splits."""
    return [
        Source(
            image_id=record.image_id,
            sha256=record.sha256,
            label=record.label,
            group_ids=record.group_ids,
            width=record.width,
            height=record.height,
            modality=record.modality,
            media_type=record.media_type,
            mask_sha256=annotation_blobs(record.provenance).get(MASK),
            localization=record.metadata.get("localization"),
        )
        for record in records
        if record.source == "real"
        and not record.quarantined
        and (sources == "all" or record.split == "train")
    ]


def require_modalities(spec: GeneratorSpec, sources: Iterable[Source]) -> None:
    """Refuse sources that the generator does not suit."""
    for source in sources:
        if source.modality not in spec.modalities:
            raise InvalidInput(
                f"Generator {spec.name!r} makes {' and '.join(spec.modalities)} images; image "
                f"{source.image_id} of class {source.label!r} is {source.modality}",
                code="unsuited_modality",
            )


def require_images(params: GeneratorParams, sources: Iterable[Source]) -> None:
    """Refuse parameters that name images which are not drawn from."""
    known = {source.image_id for source in sources}
    for image_id, place in params.named_images().items():
        if image_id not in known:
            detail = f"Image {image_id} is not among the {len(known)} images that are drawn from"
            raise invalid(POINTER + place, detail, "unknown_image")


def with_assets(orders: Iterable[Order], assets: Mapping[str, Asset]) -> list[Order]:
    """Return orders whose assets, which a plan names by id, are known with their files."""
    return [
        replace(order, assets=tuple(assets[asset.id] for asset in order.assets))
        if order.assets
        else order
        for order in orders
    ]


def finish(
    spec: GeneratorSpec,
    params: GeneratorParams,
    order: Order,
    load: LoadPixels,
    resolution: int | None = None,
) -> Finished:
    """Make one image and encode it as its main source is, so that no codec tells them apart.

    JPEG (quality 95) for a JPEG source, PNG otherwise. With ``resolution`` the longer
    side gets that many pixels: resized, or made so by a generator that makes any size. Transform
    and size enter provenance.
    """
    if spec.side is not None:
        order = replace(order, settings=order.settings | {"side": resolution or spec.side})
    made = spec.instance.make(params, order, load)
    pixels, matrix = fit(made.pixels, resolution if spec.side is None else None)
    transform = None if made.transform is None else matrix @ made.transform
    media_type = order.parents[0].media_type if order.parents else "image/png"
    media_type = "image/jpeg" if media_type == "image/jpeg" else "image/png"
    data = encode(pixels, media_type)
    provenance = made.provenance | {
        "generator": spec.name,
        "version": spec.version,
        "params": params.recorded,
        "index": order.index,
        "label": order.label,
        "seed": order.seed,
        "settings": {k: v for k, v in order.settings.items() if k != "recorded"},
        "resolution": resolution,
        "media_type": media_type,
        "parents": [_parent(source) for source in order.parents],
        "transform": None if transform is None else _rounded(transform),
    }
    if order.assets:
        provenance["assets"] = [_asset(asset) for asset in order.assets]
    files = {name: _file(given, pixels) for name, given in made.annotations.items()}
    return Finished(order, data, pixels, pixel_sha256(pixels), media_type, provenance, files)


def produce(
    spec: GeneratorSpec,
    params: GeneratorParams,
    orders: Iterable[Order],
    load: LoadPixels,
    *,
    threads: int = 1,
    resolution: int | None = None,
) -> Iterator[Finished]:
    """Make orders on some threads, in their order (see ``near_each_other``).

    Only a few are in memory at once. Closing the iterator stops what has not begun.
    """
    ordered = iter(orders)
    if threads == 1:  # handing over to a thread costs more than it gains
        yield from (finish(spec, params, order, load, resolution) for order in ordered)
        return
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Finished]] = deque()
    try:
        while True:
            for order in islice(ordered, 2 * threads + 1 - len(waiting)):
                waiting.append(pool.submit(finish, spec, params, order, load, resolution))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def replay(
    provenance: Mapping[str, Any],
    load: LoadPixels,
    find: Callable[[str], Path] | None = None,
    place: Workplace | None = None,
) -> Finished:
    """Make an image again from its provenance: the same bytes.

    ``load`` gets sources by ``sha256``, ``find`` the files of assets; ``place`` is the machine.
    InvalidInput ``replay_version`` when the generator has changed since.
    """
    spec = GENERATORS.get(provenance["generator"])
    if place is not None:
        spec = spec.at(place)
    if spec.version != provenance["version"]:
        raise InvalidInput(
            f"The image was made by version {provenance['version']} of {spec.name!r}; this is "
            f"version {spec.version}",
            code="replay_version",
        )
    parents = tuple(Source(image_id="", group_ids=(), **row) for row in provenance["parents"])
    order = Order(
        index=provenance["index"],
        label=provenance["label"],
        parents=parents,
        seed=provenance["seed"],
        settings=provenance["settings"] | {"recorded": dict(provenance)},
        assets=tuple(Asset(**row, find=find) for row in provenance.get("assets", ())),
    )
    params = spec.params.model_validate(provenance["params"])
    return finish(spec, params, order, load, provenance["resolution"])


def fit(pixels: Pixels, resolution: int | None) -> tuple[Pixels, geometry.Matrix]:
    """Resize to ``resolution`` pixels on the longer side, antialiased, aspect kept."""
    height, width = pixels.shape[:2]
    if resolution is None or max(height, width) == resolution:
        return pixels, geometry.identity()
    scale = resolution / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(pixels, size, interpolation=interpolation)
    return np.asarray(resized, np.uint8), geometry.resize((width, height), size)


def _file(annotation: Pixels | bytes, pixels: Pixels) -> bytes:
    return annotation if isinstance(annotation, bytes) else _mask_png(annotation, pixels)


def _mask_png(mask: Pixels, pixels: Pixels) -> bytes:
    height, width = pixels.shape[:2]
    if mask.shape != (height, width):
        soft = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
        mask = np.where(soft >= 128, 255, 0).astype(np.uint8)
    return encode(mask, "image/png")


def encode(pixels: Pixels, media_type: str) -> bytes:
    """Return RGB or grey pixels as JPEG or PNG bytes."""
    stored = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    suffix, flags = (".jpg", _JPEG) if media_type == "image/jpeg" else (".png", _PNG)
    return bytes(cv2.imencode(suffix, stored, flags)[1])


def record_of(
    finished: Finished,
    sha256: str,
    real: Mapping[str, ImageRecord],
    annotations: Mapping[str, str] | None = None,
) -> ImageRecord:
    """Return the manifest row of an image whose bytes are stored under ``sha256``.

    ``annotations`` are the blobs of its annotations by name.

    ``real`` are the parents by image id; groups are the union of theirs and of those of what was
    uploaded to render with, the split that of the first parent, the main source (train for an image
    without parents).
    """
    order = finished.order
    parents = [real[source.image_id] for source in order.parents]
    groups = {group for parent in parents for group in parent.group_ids}
    groups |= {group for asset in order.assets for group in asset.group_ids}
    suffix = "jpg" if finished.media_type == "image/jpeg" else "png"
    return ImageRecord(
        image_id=new_id("img"),
        filename=f"synthetic_{order.index:07d}.{suffix}",
        label=order.label,
        sha256=sha256,
        source_sha256=sha256,
        pixel_sha256=finished.pixel_sha256,
        width=int(finished.pixels.shape[1]),
        height=int(finished.pixels.shape[0]),
        media_type=finished.media_type,
        modality="grey" if finished.pixels.ndim == 2 else "rgb",
        split=parents[0].split if parents else "train",
        source="synthetic",
        group_ids=tuple(sorted(groups)),
        parents=tuple(parent.image_id for parent in parents),
        parent_sha256=tuple(parent.sha256 for parent in parents),
        provenance=finished.provenance
        | ({"annotations": dict(annotations)} if annotations else {}),
    )


def describe(provenance: Mapping[str, Any]) -> str:
    """Say in a few words what was done: the operations, each with its main number."""
    return ", ".join(_words(step) for step in provenance.get("operations", ()))


def _words(step: Mapping[str, Any]) -> str:
    name = step["op"].removeprefix("seed_").replace("_", " ")
    if "degrees" in step:
        return f"{name} {step['degrees']:.0f}°"
    if "factor" in step:
        return f"{name} x{step['factor']:.2f}"
    return str(name)


def near_each_other(orders: Iterable[Order]) -> list[Order]:
    """Return orders so that those that share something follow each other: it is made once then.

    That is what their generator named, else the main source, which is decoded.
    """

    def shared(order: Order) -> str:
        return order.shared or (order.parents[0].sha256 if order.parents else "")

    return sorted(orders, key=lambda order: (shared(order), order.index))


class PixelCache:
    """Decoded sources, the last few used; shared by the threads of a shard.

    Orders of one source are made one after another, so a few are enough.
    """

    def __init__(self, read: Callable[[str], Pixels], size: int) -> None:
        self._read = read
        self._recent: Recent[str, Pixels] = Recent(size)

    def __call__(self, source: Source) -> Pixels:
        return self._recent.get(source.sha256, lambda: self._decoded(source.sha256))

    def _decoded(self, sha256: str) -> Pixels:
        pixels = self._read(sha256)
        pixels.flags.writeable = False
        return pixels


def _rounded(matrix: geometry.Matrix) -> list[list[float]]:
    return [[round(value, _DIGITS) for value in row] for row in matrix.tolist()]


def _asset(asset: Asset) -> dict[str, Any]:
    return {"id": asset.id, "kind": asset.kind, "files": dict(asset.files)}


def _parent(source: Source) -> dict[str, Any]:
    mask = {} if source.mask_sha256 is None else {"mask_sha256": source.mask_sha256}
    return mask | {
        "sha256": source.sha256,
        "label": source.label,
        "width": source.width,
        "height": source.height,
        "modality": source.modality,
        "media_type": source.media_type,
    }
