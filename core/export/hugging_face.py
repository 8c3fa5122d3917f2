"""A folder that ``datasets.load_dataset`` reads: Parquet with the image bytes inside.

The columns' types stand in the Parquet metadata and in the card's YAML header, as the library
``datasets`` writes them itself. Nothing is decoded: a row holds the stored bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.annotations import MASK, annotation_blobs
from core.export.bundle import Bundle, Entry, rotten
from core.export.licences import Licence

if TYPE_CHECKING:
    import pyarrow as pa

SPLITS = {"train": "train", "val": "validation", "test": "test"}
_SHARD_BYTES = 500_000_000
_ROWS = 64


def write_parquet(
    bundle: Bundle,
    images: Sequence[Entry],
    find: Callable[[str], Path],
    progress: Callable[[int], None],
    scratch: Path,
) -> None:
    """Add ``data/<split>-<n>.parquet``; a file ends when it has 500 MB of images."""
    labels = sorted({entry.record.label for entry in images})
    done = 0
    for split, name in SPLITS.items():
        members = [entry for entry in images if entry.record.split == split]
        for number, shard in enumerate(_shards(members, find)):
            path = scratch / "shard.parquet"
            _write_shard(path, shard, labels, find)
            bundle.file(f"data/{name}-{number:05d}.parquet", path)
            path.unlink()
            done += len(shard)
            progress(done)


def _shards(members: Sequence[Entry], find: Callable[[str], Path]) -> Iterator[list[Entry]]:
    shard: list[Entry] = []
    size = 0
    for entry in members:
        shard.append(entry)
        size += find(entry.record.sha256).stat().st_size
        if size >= _SHARD_BYTES:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def _write_shard(
    path: Path, shard: Sequence[Entry], labels: Sequence[str], find: Callable[[str], Path]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(labels)
    numbers = {label: number for number, label in enumerate(labels)}
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(shard), _ROWS):
            rows = [_row(entry, numbers, find) for entry in shard[start : start + _ROWS]]
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _row(entry: Entry, numbers: dict[str, int], find: Callable[[str], Path]) -> dict[str, Any]:
    record = entry.record
    name = entry.path.rpartition("/")[2]
    mask = annotation_blobs(record.provenance).get(MASK)
    return {
        "image": {"bytes": _whole(entry, record.sha256, find), "path": name},
        "label": numbers[record.label],
        "mask": None
        if mask is None
        else {
            "bytes": _whole(entry, mask, find),
            "path": f"{name.rpartition('.')[0]}_mask.png",
        },
        "filename": record.filename,
        "source": record.source,
        "group_ids": list(record.group_ids),
        "sha256": record.sha256,
        "parent_sha256": list(record.parent_sha256),
        "metadata": json.dumps(record.metadata, sort_keys=True, ensure_ascii=False),
        "provenance": json.dumps(record.provenance, sort_keys=True, ensure_ascii=False),
    }


def _whole(entry: Entry, sha256: str, find: Callable[[str], Path]) -> bytes:
    data = find(sha256).read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise rotten(entry.record)
    return data


def _features(labels: Sequence[str]) -> dict[str, Any]:
    """Return the columns as the library ``datasets`` describes them."""
    text = {"dtype": "string", "_type": "Value"}
    return {
        "image": {"_type": "Image"},
        "label": {"names": list(labels), "_type": "ClassLabel"},
        "mask": {"_type": "Image"},
        "filename": text,
        "source": text,
        "group_ids": {"feature": text, "_type": "List"},
        "sha256": text,
        "parent_sha256": {"feature": text, "_type": "List"},
        "metadata": text,
        "provenance": text,
    }


def _schema(labels: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    types: dict[str, Any] = {"Image": image, "ClassLabel": pa.int64(), "Value": pa.string()}
    features = _features(labels)
    fields = [
        pa.field(name, types.get(feature["_type"], pa.list_(pa.string())))
        for name, feature in features.items()
    ]
    info = json.dumps({"info": {"features": features}})
    return pa.schema(fields, metadata={"huggingface": info})


def header(images: Sequence[Entry], name: str, licences: Sequence[Licence]) -> str:
    """Return the YAML header of the card; JSON texts are YAML texts."""
    used = {entry.record.split for entry in images}
    lines = ["---", f"pretty_name: {json.dumps(name)}", f"license: {_licence(licences)}"]
    lines += ["task_categories:", "- image-classification", "configs:", "- config_name: default"]
    lines.append("  data_files:")
    for split, shown in SPLITS.items():
        if split in used:
            lines += [f"  - split: {shown}", f"    path: data/{shown}-*.parquet"]
    return "\n".join([*lines, "---", ""])


def _licence(licences: Sequence[Licence]) -> str:
    """Return the hub's id of a licence; ``other`` where several or none of its ids apply."""
    if len(licences) != 1:
        return "other"
    own = licences[0].id.lower()
    known = own.startswith("cc") or own in ("mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause")
    return own if known else "other"
