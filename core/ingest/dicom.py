"""Single-frame DICOM images: pixels as a viewer would show them, without who they are of."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.ingest.rejects import Rejected

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    from core.synthesis.contract import Pixels


_DEFLATED = b"1.2.840.10008.1.2.1.99"
"""The transfer syntax whose whole data set is one zlib stream of unknown size."""


_CODE_STRING = re.compile(r"[A-Z0-9_ ]{0,16}")
_WINDOW_FUNCTIONS = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})


@dataclass(frozen=True, slots=True)
class DicomImage:
    """Pixels, what was done to them, and a key that two images of one patient share.

    The key serves to keep a patient's images in one group while they are imported; it is never
    stored, because a hash of a patient's number can be guessed.
    """

    pixels: Pixels
    done: dict[str, Any]
    patient_key: str


def read_dicom(data: bytes, max_pixels: int) -> DicomImage:
    """Decode a DICOM file: rescale, window, MONOCHROME1 inverted; no tag but these is kept.

    Rejected ``multi_frame``, ``too_many_pixels``, ``no_pixels``, ``decode_failed``.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    if _DEFLATED in data:
        raise Rejected("unsupported_format", "Deflated DICOM files are not read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that break the standard, in foreign files
            dataset = dcmread(io.BytesIO(data))
            _check(dataset, max_pixels)
            pixels, done = _shown(dataset)
    except InvalidDicomError as error:
        raise Rejected("decode_failed", f"The DICOM file cannot be read: {error}") from error
    except Rejected:
        raise
    except MemoryError:
        raise
    except Exception as error:  # pydicom's decoders raise what the broken file makes them
        raise Rejected("decode_failed", f"The DICOM image does not decode: {error}") from error
    return DicomImage(pixels, done, _patient_key(dataset))


def _check(dataset: Dataset, max_pixels: int) -> None:
    if "PixelData" not in dataset:
        raise Rejected("no_pixels", "The DICOM file holds no image")
    if int(dataset.get("NumberOfFrames", 1) or 1) > 1:
        raise Rejected("multi_frame", "The DICOM file holds several frames")
    if int(dataset.Rows) * int(dataset.Columns) > max_pixels:
        raise Rejected("too_many_pixels", f"The image has more than {max_pixels} pixels")


def _shown(dataset: Dataset) -> tuple[Pixels, dict[str, Any]]:
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut

    photometric = str(dataset.get("PhotometricInterpretation", ""))
    if not _CODE_STRING.fullmatch(photometric):
        raise Rejected("decode_failed", "The DICOM image has an impossible colour space")
    done: dict[str, Any] = {"photometric": photometric}
    array = dataset.pixel_array
    if photometric == "PALETTE COLOR":
        colours = apply_color_lut(array, dataset)
        return _eight_bit(colours, 8 * colours.dtype.itemsize), done
    if array.ndim == 3:
        return _eight_bit(array, int(dataset.BitsStored)), done
    values = np.asarray(apply_modality_lut(array, dataset), dtype=np.float64)
    if not np.isfinite(values).all():
        raise Rejected("decode_failed", "The rescaled values of the DICOM image are not finite")
    shade = _windowed(values, dataset, done)
    if photometric == "MONOCHROME1":
        shade = 1.0 - shade
    return np.rint(255.0 * shade).astype(np.uint8), done


def _windowed(
    values: NDArray[np.float64], dataset: Dataset, done: dict[str, Any]
) -> NDArray[np.float64]:
    """Map rescaled values to 0..1 (DICOM PS3.3 C.11.2.1): window, else table, else full range."""
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if centre is not None and width is not None and width >= 1:
        function = str(dataset.get("VOILUTFunction", "") or "LINEAR")
        if function not in _WINDOW_FUNCTIONS:
            raise Rejected("decode_failed", "The DICOM image has an unknown window function")
        done["window"] = {"centre": centre, "width": width, "function": function}
        if function == "SIGMOID":
            return np.asarray(1.0 / (1.0 + np.exp(-4.0 * (values - centre) / width)))
        if function == "LINEAR" and width > 1:
            centre, width = centre - 0.5, width - 1.0
        return np.asarray(np.clip((values - centre) / width + 0.5, 0.0, 1.0))
    if dataset.get("VOILUTSequence"):
        return _tabled(values, dataset, done)
    low, high = float(values.min()), float(values.max())
    done["window"] = {"low": low, "high": high, "function": "FULL_RANGE"}
    return np.asarray((values - low) / ((high - low) or 1.0))


def _tabled(
    values: NDArray[np.float64], dataset: Dataset, done: dict[str, Any]
) -> NDArray[np.float64]:
    from pydicom.pixels.processing import apply_voi

    bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
    done["window"] = {"table_bits": bits, "function": "TABLE"}
    table = apply_voi(np.rint(values).astype(np.int64), dataset)
    return np.asarray(np.clip(table / (2.0**bits - 1), 0.0, 1.0))


def _first(value: Any) -> float | None:
    """Return the first of one or several numbers of a DICOM element."""
    if value is None or value == "":
        return None
    first = float(value[0]) if hasattr(value, "__getitem__") else float(value)
    return first if np.isfinite(first) else None


def _eight_bit(array: Any, bits: int) -> Pixels:
    """Bring colour samples of ``bits`` bits to 8; an alpha channel is dropped."""
    values = np.asarray(array)[..., :3]
    if bits > 8:
        values = values >> (bits - 8)
    return np.ascontiguousarray(values, dtype=np.uint8)


def _patient_key(dataset: Dataset) -> str:
    patient = str(dataset.get("PatientID", "") or "").strip()
    issuer = str(dataset.get("IssuerOfPatientID", "") or "").strip()
    return hashlib.sha256(f"{issuer}\n{patient}".encode()).hexdigest() if patient else ""
