"""ImageFolder: the folder of an image is its label, optionally below train, val and test."""

from __future__ import annotations

from core.ingest.layouts import Assignment, Item, LayoutOptions, Tree, clean_label, layout
from core.ingest.metadata import split_name
from core.ingest.names import extension
from core.ingest.rejects import Reject
from core.ingest.tables import unknown_column

_EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".dcm", ".dicom", ".gif"}
)


def _detect(_tree: Tree) -> int:
    return 1  # what is left when no table and no mask says more


@layout("imagefolder", _detect)
def imagefolder(tree: Tree, options: LayoutOptions) -> Assignment:
    """One folder a class, optionally inside train, val and test."""
    for pointer, column in (
        ("/label_column", options.label_column),
        ("/group_column", options.group_column),
    ):
        if column is not None:
            raise unknown_column(column, (), pointer, "the layout imagefolder")
    answer = Assignment()
    depth = wrapper_depth(tree.files)
    for name in tree.files:
        folders = name.split("/")[depth:-1]
        split = split_name(folders[0]) if len(folders) > 1 else None
        label = clean_label(folders[1 if split else 0]) if folders else None
        if label is None:
            answer.rejects.append(Reject(name, "no_label", "The file lies in no class folder"))
            continue
        answer.items.append(Item(name, label, {"source_split": split} if split else {}))
    return answer


def wrapper_depth(files: tuple[str, ...]) -> int:
    """Return how many outer folders only wrap the dataset.

    A folder wraps when every image lies in folders below it and it is not called train, val or
    test. Files that are not called like images, and images in no folder at all, are not asked.
    """
    named = [name for name in files if "/" in name]
    paths = [n.split("/")[:-1] for n in named if extension(n) in _EXTENSIONS]
    paths = paths or [n.split("/")[:-1] for n in named]
    depth = 0
    while paths and min(map(len, paths)) > depth + 1:
        outer = {path[depth] for path in paths}
        if len(outer) != 1 or split_name(next(iter(outer))):
            break
        depth += 1
    return depth
