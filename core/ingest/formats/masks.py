"""Images with masks: ``X.jpg`` beside ``X_mask.png``, or one folder an image with its masks."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from itertools import takewhile

from core.ingest.formats.csv import label_table
from core.ingest.formats.imagefolder import imagefolder
from core.ingest.layouts import Assignment, LayoutOptions, RowAssigner, Tree, layout
from core.ingest.names import bare, collision_key, extension, stem
from core.ingest.rejects import Reject

_SUFFIX = re.compile(r"(.+?)[_-](mask|masks|segmentation|lesion|lesions|seg)", re.IGNORECASE)
_IMAGE_STEMS = frozenset({"image", "img", "photo"})
_LESION_STEMS = ("mask", "lesions", "lesion", "segmentation", "selected_lesion")

Pairs = dict[str, dict[str, str]]
"""Of each image file its mask files by annotation name."""


@layout("masks", lambda tree: 95 if _mostly_masks(tree) else 0)
def masks(tree: Tree, options: LayoutOptions) -> Assignment:
    """Images with lesion masks, labels from a table or from class folders."""
    pairs, orphans = _pairs(tree)
    folders = {_folder(image): image for image in pairs if _in_own_folder(image)}
    images = Tree(pairs, tree.tables)
    answer = _labelled(images, folders, options)
    answer.items = [replace(item, annotations=pairs[item.name]) for item in answer.items]
    kept = {item.name for item in answer.items}
    lost = [m for image, found in pairs.items() if image not in kept for m in found.values()]
    for name in lost:
        answer.rejects.append(Reject(name, "no_image", "The image of this mask was not taken"))
    for name in orphans:
        answer.rejects.append(Reject(name, "no_image", "No image belongs to this mask"))
    return answer


def _labelled(images: Tree, folders: dict[str, str], options: LayoutOptions) -> Assignment:
    """Label images by a table whose cells name files or the folders of single images."""
    if not images.tables:
        return imagefolder(images, options)
    if not folders:
        table, file, label = label_table(images, options)
        rows = RowAssigner(images, table, options)
        for row in table.rows:
            rows.add(row, row[file], row[label], {})
        return rows.finish()
    renamed = {f"{folder}{extension(i)}": i for folder, i in folders.items()}
    plain = {i: i for i in images.files if i not in folders.values()}
    answer = _labelled(Tree(renamed | plain, images.tables), {}, options)
    real = renamed | plain
    answer.items = [replace(item, name=real[item.name]) for item in answer.items]
    answer.rejects = [replace(r, name=real.get(r.name, r.name)) for r in answer.rejects]
    return answer


def _pairs(tree: Tree) -> tuple[Pairs, list[str]]:
    """Return images with their masks, and masks without image."""
    by_path = {_bare(name): name for name in tree.files if not _is_mask_name(name)}
    by_stem: dict[str, list[str]] = defaultdict(list)
    for path, name in by_path.items():
        by_stem[path.rpartition("/")[2]].append(name)
    pairs: Pairs = {}
    orphans: list[str] = []
    own_folders = {_folder(name): name for name in tree.files if _in_own_folder(name)}
    for name in tree.files:
        image = own_folders.get(_folder(name))
        if image == name:
            pairs.setdefault(name, {})
        elif image is not None:
            pairs.setdefault(image, {})[stem(name).lower()] = name
        elif _is_mask_name(name):
            owner = _owner(name, by_path, by_stem)
            if owner is None:
                orphans.append(name)
            else:
                pairs.setdefault(owner, {}).setdefault("mask", name)
        else:
            pairs.setdefault(name, {})
    return {image: _with_lesion(found) for image, found in pairs.items()}, orphans


def _with_lesion(found: dict[str, str]) -> dict[str, str]:
    """Call the lesion's mask ``mask``; others keep the names of their files."""
    if "mask" in found:
        return found
    chosen = next((key for key in _LESION_STEMS if key in found), None)
    return {("mask" if key == chosen else key): name for key, name in found.items()}


def _owner(mask: str, by_path: dict[str, str], by_stem: dict[str, list[str]]) -> str | None:
    """Return the image of a mask: in the same folder, else the only one of that name.

    Of several, the one whose last folders are called as those of the mask, as in trees beside each
    other.
    """
    folder, _, last = _bare(mask).rpartition("/")
    match = _SUFFIX.fullmatch(last)
    if match is None:
        return None
    beside = by_path.get(f"{folder}/{match[1]}" if folder else match[1])
    if beside is not None:
        return beside
    found = by_stem.get(match[1], [])
    if len(found) < 2:
        return found[0] if found else None
    alike = {name: _last_folders_alike(mask, name) for name in found}
    best = [name for name in found if alike[name] == max(alike.values())]
    return best[0] if len(best) == 1 else None


def _last_folders_alike(first: str, second: str) -> int:
    paths = [reversed(_folder(collision_key(name)).split("/")) for name in (first, second)]
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(*paths, strict=False))))


def _mostly_masks(tree: Tree) -> bool:
    if not any(_is_mask_name(name) or _in_own_folder(name) for name in tree.files):
        return False
    pairs, _ = _pairs(tree)
    with_mask = sum(bool(found) for found in pairs.values())
    return with_mask > 0 and with_mask * 2 >= len(pairs)


def _is_mask_name(name: str) -> bool:
    return _SUFFIX.fullmatch(stem(name)) is not None


def _in_own_folder(name: str) -> bool:
    return "/" in name and stem(name).lower() in _IMAGE_STEMS


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _bare(name: str) -> str:
    return bare(collision_key(name))
