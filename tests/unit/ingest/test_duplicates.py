from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.ingest.duplicates import NearThreshold, candidates, near_pairs
from core.ingest.fingerprints import FORMS, apply_form, fingerprint, forms
from tests.unit.ingest.made import encoded, pixels


def formed(array: Any, form: int) -> Any:
    """Flip rows, then columns, then transpose, as the forms are numbered."""
    if form & 2:
        array = array[::-1]
    if form & 1:
        array = array[:, ::-1]
    return np.ascontiguousarray(array.swapaxes(0, 1) if form & 4 else array)


def distance(one: int, two: int) -> int:
    return (one ^ two).bit_count()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, FORMS - 1), st.sampled_from([1, 3]))
def test_hash_of_a_form_is_the_form_of_the_hash(seed: int, form: int, channels: int) -> None:
    array = pixels(seed, 224, 224, channels)
    predicted = int(forms(np.array([fingerprint(array).bits], np.uint64))[form, 0])
    assert distance(predicted, fingerprint(formed(array, form)).bits) <= 3


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, FORMS - 1))
def test_flips_are_their_own_inverse(bits: int, form: int) -> None:
    inverse = 11 - form if form in (5, 6) else form  # quarter turns undo each other
    once = forms(np.array([bits & ~(1 << 63)], np.uint64))[form]
    assert int(forms(once)[inverse, 0]) == bits & ~(1 << 63)


def test_forms_of_thumbnails_agree_with_forms_of_images() -> None:
    thumbnail = fingerprint(pixels(1)).thumbnail.astype(np.float32)
    for form in range(FORMS):
        assert np.array_equal(apply_form(thumbnail[None], form)[0], formed(thumbnail, form))


def copies(array: Any) -> dict[str, Any]:
    image = Image.fromarray(array)
    recompressed = Image.open(io.BytesIO(encoded(array, "JPEG", quality=50)))
    return {
        "recompressed": np.asarray(recompressed),
        "half": np.asarray(image.resize((image.width // 2, image.height // 2))),
        "double": np.asarray(image.resize((image.width * 2, image.height * 2))),
        "brighter": np.clip(array * 1.1, 0, 255).astype(np.uint8),
        "grey": np.asarray(image.convert("L")),
        **{f"form {f}": formed(array, f) for f in range(1, FORMS)},
    }


@pytest.mark.parametrize("kind", list(copies(pixels(0))))
def test_copies_are_found_and_others_are_not(kind: str) -> None:
    originals = [pixels(seed, 96, 128) for seed in range(20)]
    changed = copies(originals[7])[kind]
    prints = [fingerprint(p) for p in (*originals, changed)]
    assert [(p.first, p.second) for p in near_pairs(prints)] == [(7, 20)]


def test_flat_images_are_no_near_duplicates() -> None:
    prints = [fingerprint(np.full((40, 40), shade, np.uint8)) for shade in (0, 100, 255)]
    assert near_pairs(prints) == []


def test_blocks_and_threads_do_not_change_the_answer() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**63, 700, dtype=np.uint64)
    bits[600] = bits[3] ^ np.uint64(0b101)
    bits[500] = forms(bits[:1])[6, 0]
    for threads in (1, 3):
        found = np.concatenate(list(candidates(bits, bits, 2, threads=threads)))
        pairs = {(i, j) for i, j, _ in found.tolist() if i < j}
        assert pairs == {(3, 600), (0, 500)}


def test_threshold_is_obeyed() -> None:
    prints = [fingerprint(pixels(1)), fingerprint(pixels(1)), fingerprint(pixels(2))]
    assert len(near_pairs(prints, NearThreshold(hash_bits=0, correlation=0.999))) == 1
    assert len(near_pairs(prints, NearThreshold(hash_bits=64, correlation=-1.0))) == 3


def test_nothing_and_one_image() -> None:
    assert near_pairs([]) == []
    assert near_pairs([fingerprint(pixels(1))]) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (3, 7, 3), (31, 33)])
def test_tiny_images_have_a_fingerprint(shape: tuple[int, ...]) -> None:
    assert fingerprint(np.zeros(shape, np.uint8)).text == "0" * 16
