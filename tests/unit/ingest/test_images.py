from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from core.errors import InvalidInput
from core.ingest.colour import oriented
from core.ingest.images import decode, pillow_limits, prepare
from core.ingest.rejects import Rejected
from tests.unit.ingest.made import encoded, jpeg, pixels, png_chunk, png_header, with_chunk


def rejected(data: bytes, **options: Any) -> str:
    with pytest.raises(Rejected) as reason:
        prepare(data, **options)
    return reason.value.code


def exif(orientation: int = 1, gps: bool = False) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010F] = "SecretCamera"
    if gps:
        block[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0)}
    return block


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("channels", [1, 3])
def test_plain_images_keep_every_byte(kind: str, channels: int) -> None:
    data = encoded(pixels(1, channels=channels), kind)
    stored = prepare(data)
    assert stored.data == data
    assert stored.modality == ("grey" if channels == 1 else "rgb")
    assert (stored.width, stored.height) == (64, 48)
    assert np.array_equal(decode(stored.data), np.asarray(Image.open(io.BytesIO(data))))
    assert np.array_equal(decode(stored.data), stored.pixels)


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}]
)
def test_kinds_of_jpeg_keep_their_pixels(options: dict[str, Any]) -> None:
    data = jpeg(2, comment=b"Mrs Smith", **options)
    stored = prepare(data)
    assert b"Mrs Smith" not in stored.data
    assert np.array_equal(decode(stored.data), np.asarray(Image.open(io.BytesIO(data))))


def test_identifying_metadata_is_cut_out_without_recompression() -> None:
    data = jpeg(3, exif=exif(gps=True), comment=b"Mrs Smith") + b"PK\x03\x04 trailing"
    stored = prepare(data)
    assert stored.media_type == "image/jpeg"
    assert stored.done == {"removed": ["comment", "exif"]}
    assert stored.data != data
    for secret in (b"Exif", b"SecretCamera", b"Mrs Smith", b"trailing"):
        assert secret not in stored.data
    assert np.array_equal(stored.pixels, np.asarray(Image.open(io.BytesIO(data))))


def test_png_text_is_cut_out() -> None:
    data = with_chunk(encoded(pixels(3), "PNG"), b"tEXt", b"Name\0Mrs Smith")
    stored = prepare(data)
    assert b"Mrs Smith" not in stored.data
    assert stored.data == encoded(pixels(3), "PNG")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_is_applied(kind: str, orientation: int) -> None:
    from PIL import ImageOps

    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(pixels(4), kind, exif=exif(orientation), **options)
    stored = prepare(data)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(decode(stored.data), np.asarray(upright))
    assert b"SecretCamera" not in stored.data
    if orientation > 1:
        assert stored.media_type == "image/png"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_agrees_with_pillow(orientation: int) -> None:
    from PIL import ImageOps

    image = Image.fromarray(pixels(5))
    image.getexif()[0x0112] = orientation
    assert np.array_equal(
        oriented(pixels(5), orientation), np.asarray(ImageOps.exif_transpose(image))
    )


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_windowed(kind: str) -> None:
    deep = (np.arange(48 * 64).reshape(48, 64) + 1000).astype(np.uint16)
    stored = prepare(encoded(deep, kind))
    assert stored.modality == "grey"
    assert stored.done["window"] == [1000.0, 1000.0 + 48 * 64 - 1]
    assert (stored.pixels.min(), stored.pixels.max()) == (0, 255)


def test_constant_16_bit_is_black() -> None:
    assert prepare(encoded(np.full((8, 8), 777, np.uint16), "PNG")).pixels.max() == 0


def test_transparency_is_composited_on_white() -> None:
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:4, :, 3] = 255
    stored = prepare(encoded(rgba, "PNG"))
    assert stored.done["alpha"] == "on_white"
    assert stored.pixels[0, 0].tolist() == [0, 0, 0]
    assert stored.pixels[7, 7].tolist() == [255, 255, 255]


def test_opaque_alpha_changes_no_pixel() -> None:
    rgba = np.dstack([pixels(6), np.full((48, 64), 255, np.uint8)])
    stored = prepare(encoded(rgba, "PNG"))
    assert stored.done["alpha"] == "opaque"
    assert np.array_equal(stored.pixels, pixels(6))


def test_palettes_bits_and_cmyk() -> None:
    palette = Image.fromarray(pixels(7)).convert("P")
    assert np.array_equal(
        prepare(encoded(palette, "PNG")).pixels, np.asarray(palette.convert("RGB"))
    )
    palette.info["transparency"] = 0
    used = int(np.asarray(palette)[0, 0])
    assert prepare(encoded(palette, "PNG", transparency=used)).done["alpha"] == "on_white"
    bits = Image.fromarray(pixels(7)).convert("1")
    assert prepare(encoded(bits, "PNG")).modality == "grey"
    cmyk = prepare(encoded(Image.fromarray(pixels(7)).convert("CMYK"), "JPEG"))
    assert (cmyk.modality, cmyk.media_type) == ("rgb", "image/png")


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "WEBP"])
def test_other_formats_become_png(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    stored = prepare(encoded(pixels(8), kind, **options))
    assert stored.media_type == "image/png"
    assert np.array_equal(decode(stored.data), pixels(8))


def profile(space: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()  # type: ignore[arg-type]


def test_srgb_profile_is_dropped_and_another_one_converted() -> None:
    assert prepare(jpeg(9, icc_profile=profile("sRGB"))).media_type == "image/jpeg"
    swapped = profile("sRGB").replace(b"s\0R\0G\0B", b"o\0t\0h\0r").replace(b"sRGB", b"othr")
    curve = swapped.index(b"para")
    darker = swapped[: curve + 12] + (3 << 16).to_bytes(4, "big") + swapped[curve + 16 :]
    stored = prepare(jpeg(9, icc_profile=darker))
    assert stored.media_type == "image/png"
    assert "icc" in stored.done
    assert stored.pixels.mean() < np.asarray(Image.open(io.BytesIO(jpeg(9)))).mean()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"this is text, whatever the name says", "not_an_image"),
        (b"%PDF-1.7 a document", "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "not_an_image"),
        (b"<html></html>", "not_an_image"),
        (b"GIF89a" + b"\0" * 20, "unsupported_format"),
        (b"\0\0\0\x1cftypheic" + b"\0" * 20, "unsupported_format"),
        (b"PK\x03\x04" + b"\0" * 30, "nested_archive"),
        (b"\x1f\x8b\x08" + b"\0" * 30, "nested_archive"),
        (b"\xff\xd8\xff\xd9", "decode_failed"),
        (b"\xff\xd8\xff", "truncated"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"BM" + b"\0" * 60, "decode_failed"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "truncated"),
    ],
)
def test_what_is_no_image(data: bytes, code: str) -> None:
    assert rejected(data) == code


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9, 0.999])
def test_truncated_images_are_caught(kind: str, part: float) -> None:
    data = encoded(pixels(10), kind)
    assert rejected(data[: int(len(data) * part)]) == "truncated"


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "WEBP"])
def test_other_truncated_images_are_caught(kind: str) -> None:
    data = encoded(pixels(10), kind)
    assert rejected(data[: len(data) // 2]) in ("truncated", "decode_failed")


def test_chunks_of_an_impossible_kind_are_refused() -> None:
    data = encoded(pixels(3), "PNG")
    end = len(data) - 12
    with pytest.raises(Rejected, match="impossible kind") as reason:
        prepare(data[:end] + png_chunk(b"ab\0d", b"") + data[end:])
    assert reason.value.code == "decode_failed"


def test_only_a_few_kinds_of_what_was_cut_out_are_named() -> None:
    data = encoded(pixels(3), "PNG")
    end = len(data) - 12
    odd = b"".join(png_chunk(f"z{a}{b}z".encode(), b"") for a in "abcdefgh" for b in "abcdefgh")
    assert len(prepare(data[:end] + odd + data[end:]).done["removed"]) == 16


def test_a_side_that_is_not_read_again_is_refused() -> None:
    with pytest.raises(Rejected, match="side is longer") as reason:
        prepare(png_header(1_000_001, 40))
    assert reason.value.code == "too_many_pixels"


def test_wrong_checksum_is_caught() -> None:
    data = bytearray(encoded(pixels(10), "PNG"))
    data[len(data) // 2] ^= 0xFF
    assert rejected(bytes(data)) == "decode_failed"


@pytest.mark.parametrize("side", [30_000, 65_000])
def test_huge_header_is_refused_before_decoding(side: int) -> None:
    assert rejected(png_header(side, side)) == "too_many_pixels"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_pixel_limit_of_every_format(kind: str) -> None:
    data = encoded(pixels(11), kind)
    assert rejected(data, max_pixels=64 * 48 - 1) == "too_many_pixels"
    with pillow_limits(64 * 48 - 1):
        assert (
            rejected(data, max_pixels=10**9 if kind in ("BMP", "TIFF") else 1) == "too_many_pixels"
        )


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_animations_are_refused(kind: str) -> None:
    frames = [Image.fromarray(pixels(seed)) for seed in (12, 13)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert rejected(data) == "animated"


def test_profile_bomb_is_refused() -> None:
    bomb = b"icc\0\0" + zlib.compress(b"\0" * 20_000_000)
    assert rejected(with_chunk(encoded(pixels(14), "PNG"), b"iCCP", bomb)) == "metadata_bomb"


def test_text_bomb_is_not_even_unpacked() -> None:
    bomb = b"k\0\0" + zlib.compress(b"\0" * 50_000_000)
    stored = prepare(with_chunk(encoded(pixels(14), "PNG"), b"zTXt", bomb))
    assert stored.data == encoded(pixels(14), "PNG")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "BMP", "TIFF", "WEBP"]), st.data())
def test_damaged_bytes_are_taken_or_rejected(kind: str, data: st.DataObject) -> None:
    image = bytearray(encoded(pixels(15), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        image[data.draw(st.integers(0, len(image) - 1))] = data.draw(st.integers(0, 255))
    with pillow_limits():
        try:
            stored = prepare(bytes(image), max_pixels=100_000)
        except Rejected:
            return
    assert np.array_equal(decode(stored.data), stored.pixels)


def test_decode_of_garbage_is_typed() -> None:
    for data in (b"", b"garbage"):
        with pytest.raises(InvalidInput) as error:
            decode(data)
        assert error.value.code == "decode_failed"


def test_module_does_not_need_opencv_to_be_imported() -> None:
    import subprocess
    import sys

    check = "import core.ingest.images, sys; assert 'cv2' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)
