"""The corpus through the outermost door: POST /v1/datasets, and a real worker behind it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.security.archives import archives
from tests.security.case import GOOD, Case
from tests.unit.ingest.made import zipped

ONE_OF_EACH = {case.outcome: case for case in reversed(archives())}.values()
EARLIER = {"empty upload": "http 422 empty_upload"}
"""What is refused before there is a job."""


def outcome_of(api: httpx.Client, upload: Path) -> str:
    """Return the outcome in the words of the corpus, or ``http STATUS CODE``."""
    files = {"file": (upload.name, upload.read_bytes())}
    answer = api.post(
        "/v1/datasets", files=files, data={"name": "corpus"}, headers={"Prefer": "wait=60"}
    )
    if answer.status_code >= 400:
        return f"http {answer.status_code} {answer.json()['code']}"
    job = answer.json()
    if job["status"] == "failed":
        assert job["attempt"] == 1
        return f"job {job['error']['code']}"
    assert job["status"] == "succeeded", job
    assert job["result"]["accepted"] >= len(GOOD)
    version = job["result"]["dataset_version_id"]
    rejects = api.get(f"/v1/dataset-versions/{version}/rejects").json()["items"]
    assert len(rejects) == job["result"]["rejected"]
    codes = sorted({reject["code"] for reject in rejects})
    return f"reject {', '.join(codes)}" if codes else "ignored"


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=lambda case: case.outcome)
def test_case(case: Case, over_http: httpx.Client, tmp_path: Path) -> None:
    before = len(over_http.get("/v1/datasets?limit=200").json()["items"])
    wanted = EARLIER.get(case.name, case.outcome)
    assert outcome_of(over_http, case.write(tmp_path)) == wanted
    taken = wanted.startswith(("reject", "ignored"))
    assert len(over_http.get("/v1/datasets?limit=200").json()["items"]) == before + taken


def test_after_all_that_the_service_still_imports(over_http: httpx.Client, tmp_path: Path) -> None:
    assert outcome_of(over_http, zipped(tmp_path / "a.zip", GOOD)) == "ignored"
    assert over_http.get("/readyz").json()["status"] == "ready"
