"""Pictures inside a page: data URIs with a bounded size."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

LARGEST = 700_000
"""Bytes; a larger picture goes in smaller, the full one stays with its own artifact."""

_WIDEST = 1800


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the page; width and height in pixels, so that the page does not jump."""

    name: str
    uri: str
    width: int
    height: int
    caption: str


def pictures(figures: Mapping[str, bytes]) -> dict[str, Picture]:
    """Return pictures by name without its ending; what is no picture is left out."""
    found = {}
    for key, data in figures.items():
        name = key.rsplit(".", 1)[0]
        picture = _picture(name, data)
        if picture is not None:
            found[name] = picture
    return found


def _picture(name: str, data: bytes) -> Picture | None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if len(data) > LARGEST or image.format not in {"PNG", "JPEG", "WEBP"}:
                data, media_type = _smaller(image), "image/jpeg"
            else:
                media_type = f"image/{image.format.lower()}"
            width, height = image.size
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return None
    uri = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
    return Picture(name, uri, width, height, caption(name))


def _smaller(image: object) -> bytes:
    from PIL import Image

    assert isinstance(image, Image.Image)  # noqa: S101 - narrows the type only
    canvas = Image.new("RGB", image.size, "white")
    rgba = image.convert("RGBA")
    canvas.paste(rgba, mask=rgba.getchannel("A"))
    canvas.thumbnail((_WIDEST, _WIDEST * 4), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    canvas.save(buffer, "JPEG", quality=85, optimize=True)
    return buffer.getvalue()


_CAPTIONS = {
    "class_balance": "Images per class before and after synthesis.",
    "contact_sheet": "Synthetic images drawn evenly from the classes that were filled.",
    "pca_by_class": "Projection of the features, coloured by class.",
    "pca_by_source": "The same projection, coloured by source: real against synthetic.",
    "dose_response": "Difference to real images alone over the dose, with the simultaneous 95 % "
    "band and the knee.",
    "calibration": "How often decisions were right over their mean probability, in 15 equal-mass "
    "bins inside each fold's model.",
    "privacy": "Synthetic images that show a real one which they do not declare: in each pair the "
    "real image left, the synthetic one right.",
    "worth": "Learning curve of the best remedy without synthesis over the real images of the weak "
    "classes, made monotone (line), and real and synthetic images together (diamonds). The way to "
    "the right until the line is as high is what the synthetic images are worth.",
    "copycat": "Near-copies that the privacy gate kept out: in each pair the real image left, its "
    "near-copy right.",
    "overlays": "True outlines in white, predicted ones in blue, with the Dice of each image.",
    "arms": "Balanced accuracy of each arm with its 95 % interval.",
}


def caption(name: str) -> str:
    """Return what a picture shows, from its name."""
    if name in _CAPTIONS:
        return _CAPTIONS[name]
    if name.startswith("confusion_"):
        arm = name.removeprefix("confusion_").replace("_", " ")
        return f"Confusion matrix of the arm “{arm}”: rows are the true classes."
    words = name.replace("_", " ").strip()
    return f"{words[:1].upper()}{words[1:]}."
