"""Assets: bodies and backgrounds through the decoders, and every way to be refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInput
from core.ingest import foreign_mesh
from core.ingest.decoder import DecoderLimits
from core.ingest.images import decode
from core.ingest.rejects import Rejected
from core.rendering.own_mesh import MeshOptions
from core.rendering.surface_file import load_surface
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.rendering.meshes import ball, ball_glb, ball_obj, png


@pytest.fixture
def runner(tmp_path: Path) -> InlineRunner:
    return InlineRunner(tmp_path)


def sent(runner: InlineRunner, name: str, data: bytes) -> str:
    path = runner.store.root / name
    path.write_bytes(data)
    return runner.upload(path)


def run(runner: InlineRunner, kind: str, file: bytes, **more: Any) -> InlineOutcome:
    files = {
        f"{field}_upload_id": sent(runner, field, more.pop(field))
        for field in ("texture", "non_skin", "parts")
        if field in more
    }
    params = {"kind": kind, "name": "x", "upload_id": sent(runner, "file", file), **files, **more}
    return runner.run("import_asset", params)


def refusal(runner: InlineRunner, kind: str, file: bytes, **more: Any) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as caught:
        run(runner, kind, file, **more)
    return caught.value.code, caught.value.errors[0].pointer


def test_a_body_of_several_files_becomes_a_surface(runner: InlineRunner) -> None:
    parts = "\n".join(["head"] * len(ball()[0])).encode()
    mask = png(255, (4, 4), "L")
    outcome = run(runner, "body", ball_obj(), texture=png(), non_skin=mask, parts=parts)
    (draft,) = outcome.assets
    assert (draft.kind, draft.name, draft.id) == ("body", "x", outcome.result["asset_id"])
    paths = {name: runner.store.find(sha256) for name, sha256 in draft.files.items()}
    assert set(paths) == {"mesh.safetensors", "texture", "non_skin"}
    surface = load_surface(
        paths["mesh.safetensors"], decode(paths["texture"]), decode(paths["non_skin"])
    )
    assert surface.texture is not None and surface.texture.shape == (8, 16, 3)
    assert surface.non_skin is not None and np.all(surface.non_skin == 255)
    assert draft.info["triangles"] == len(surface.triangles)
    assert draft.info["images"]["texture"]["width"] == 16


def test_the_texture_inside_a_glb_is_taken(runner: InlineRunner) -> None:
    (draft,) = run(runner, "body", ball_glb(png((9, 8, 7)))).assets
    assert np.all(decode(runner.store.find(draft.files["texture"])) == (9, 8, 7))
    (own,) = run(runner, "body", ball_glb(png((9, 8, 7))), texture=png((1, 2, 3))).assets
    assert np.all(decode(runner.store.find(own.files["texture"])) == (1, 2, 3))


def test_a_broken_texture_inside_a_glb_is_said(runner: InlineRunner) -> None:
    assert refusal(runner, "body", ball_glb(png()[:40])) == ("decode_failed", "/upload_id")


def test_a_background_is_an_image(runner: InlineRunner) -> None:
    (draft,) = run(runner, "background", png(size=(30, 20)), licence="CC0-1.0").assets
    assert list(draft.files) == ["image"] and draft.licence == "CC0-1.0"
    assert draft.info["images"]["image"] == {"width": 30, "height": 20, "media_type": "image/png"}


def test_without_a_texture_the_skin_model_must_be_asked_for(runner: InlineRunner) -> None:
    assert refusal(runner, "body", ball_obj()) == ("texture_missing", "/texture_upload_id")
    named = ball_obj(head="mtllib a.mtl\nusemtl skin")
    assert refusal(runner, "body", named) == ("texture_missing", "/texture_upload_id")
    outcome = run(runner, "body", named, colour="model")
    assert list(outcome.assets[0].files) == ["mesh.safetensors"]
    assert any("skin model" in warning for warning in outcome.result["warnings"])


def test_what_is_wrong_names_the_file_at_fault(runner: InlineRunner) -> None:
    body = {"texture": png()}
    no_uv = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
    assert refusal(runner, "body", no_uv, **body) == ("mesh_without_uv", "/upload_id")
    assert refusal(runner, "body", b"", **body) == ("empty_upload", "/upload_id")
    assert refusal(runner, "body", ball_obj(), parts=b"head", **body) == (
        "parts_length",
        "/parts_upload_id",
    )
    cut = refusal(runner, "body", ball_obj(), texture=png()[:40])
    assert cut[1] == "/texture_upload_id" and cut[0] in ("truncated", "decode_failed")
    assert refusal(runner, "background", ball_obj())[1] == "/upload_id"
    assert refusal(runner, "background", png(), parts=b"head")[1] == "/parts_upload_id"
    assert refusal(runner, "background", png(), groups=["body"])[1] == "/groups"
    assert refusal(runner, "body", ball_obj(), colour="model", **body)[1] == "/colour"


def test_a_mesh_that_takes_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(limits: DecoderLimits) -> str:
        found = foreign_mesh.read_foreign_mesh(ball_obj(), None, MeshOptions(), limits)
        assert isinstance(found, Rejected)
        return found.code

    monkeypatch.setattr(foreign_mesh, "read_own_mesh", lambda *_: np.ones(2 * 1024**3))
    assert read(DecoderLimits(memory_bytes=1024**3)) == "decoder_out_of_memory"
    monkeypatch.setattr(foreign_mesh, "read_own_mesh", lambda *_: time.sleep(60))
    assert read(DecoderLimits(seconds=0.2)) == "decoder_timeout"


def test_a_decoder_that_lies_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = foreign_mesh.read_own_mesh

    def lie(*arguments: Any) -> Any:
        mesh = real(*arguments)
        mesh.surface.triangles[0, 0] = 10**6
        return mesh

    monkeypatch.setattr(foreign_mesh, "read_own_mesh", lie)
    found = foreign_mesh.read_foreign_mesh(ball_obj(), None, MeshOptions(), DecoderLimits())
    assert isinstance(found, Rejected) and found.code == "decoder_failed"
