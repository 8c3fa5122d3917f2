from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    generate_uid,
)

from core.ingest.images import decode, prepare
from core.ingest.rejects import Rejected


def dicom(values: Any, **tags: Any) -> bytes:
    """A single-frame secondary capture."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = tags.pop("syntax", ExplicitVRLittleEndian)
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID = meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.PatientName, data.PatientID = "Smith^Mary", "P-1234"
    data.Rows, data.Columns = values.shape[:2]
    data.SamplesPerPixel = 1 if values.ndim == 2 else 3
    data.PhotometricInterpretation = "MONOCHROME2" if values.ndim == 2 else "RGB"
    data.BitsAllocated = 8 * values.dtype.itemsize
    data.BitsStored, data.HighBit = data.BitsAllocated, data.BitsAllocated - 1
    data.PixelRepresentation = 0
    if values.ndim == 3:
        data.PlanarConfiguration = 0
    data.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


RAMP = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)


def test_window_is_applied_as_the_standard_says() -> None:
    stored = prepare(dicom(RAMP, WindowCenter=1000, WindowWidth=401))
    assert (stored.modality, stored.media_type) == ("grey", "image/png")
    expected = np.clip((RAMP - 999.5) / 400 + 0.5, 0, 1) * 255
    assert np.array_equal(stored.pixels, np.rint(expected).astype(np.uint8))
    assert np.array_equal(decode(stored.data), stored.pixels)


def test_rescaling_comes_before_the_window() -> None:
    plain = prepare(dicom(RAMP, WindowCenter=1000, WindowWidth=401))
    tags = {"RescaleSlope": 2, "RescaleIntercept": -100}
    scaled = prepare(dicom(RAMP, WindowCenter=1900.5, WindowWidth=801, **tags))
    assert np.abs(plain.pixels.astype(int) - scaled.pixels).max() <= 1


def test_monochrome1_is_inverted() -> None:
    plain = prepare(dicom(RAMP))
    inverted = prepare(dicom(RAMP, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(inverted.pixels, 255 - plain.pixels)


def test_without_window_the_full_range_is_used() -> None:
    stored = prepare(dicom(RAMP))
    assert (stored.pixels.min(), stored.pixels.max()) == (0, 255)
    assert stored.done["dicom"]["window"]["high"] == 64 * 48 - 1


def test_colour_images_are_kept() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    assert np.array_equal(prepare(dicom(colours)).pixels, colours)


def test_the_patient_is_not_stored() -> None:
    stored = prepare(dicom(RAMP))
    assert b"Smith" not in stored.data
    assert b"P-1234" not in stored.data
    assert "P-1234" not in str(stored.done)
    assert stored.patient_key == prepare(dicom(RAMP + np.uint16(1))).patient_key
    assert stored.patient_key != prepare(dicom(RAMP, PatientID="P-1")).patient_key


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (dicom(RAMP, NumberOfFrames=2, PixelData=RAMP.tobytes() * 2), "multi_frame"),
        (dicom(RAMP, Rows=60_000, Columns=60_000), "too_many_pixels"),
        (dicom(RAMP)[:3000], "decode_failed"),
        (dicom(RAMP, syntax=DeflatedExplicitVRLittleEndian), "unsupported_format"),
        (dicom(RAMP, RescaleSlope="1e305", RescaleIntercept=0), "decode_failed"),
        (dicom(RAMP, WindowCenter=1, WindowWidth=9, VOILUTFunction="CURVED"), "decode_failed"),
        (b"\0" * 128 + b"DICM" + b"garbage", "no_pixels"),
    ],
)
def test_bad_files_are_rejected(data: bytes, code: str) -> None:
    with pytest.raises(Rejected) as reason:
        prepare(data)
    assert reason.value.code in (code, "decode_failed")
    if code != "no_pixels":
        assert reason.value.code == code
