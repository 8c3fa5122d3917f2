"""A small service in memory: uploads, imports, jobs, artifacts, keys."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import httpx

from api.client import Client, RetryPolicy
from tests.unit.client.scripted import KEY, problem

VERSION = "dsv_" + "0" * 26
DATASET = "ds_" + "0" * 26
REPORT = b"<!doctype html><html><body>report</body></html>"
ARMS = ("real", "class_weight", "logit_adjust", "oversample", "augment", "synthetic", "combined")
LEGACY = {
    "valid": False,
    "note": "not a valid estimate",
    **{
        name: {"accuracy": 0.9, "balanced_accuracy": 0.9}
        for name in ("real", "synthetic", "combined")
    },
}


def pipeline_result() -> dict[str, Any]:
    """Return the result of a pipeline that went well."""
    return {
        "experiment_id": "exp_1",
        "verdict": "no_evidence",
        "table": [
            {
                "arm": arm,
                "classifier": "logistic_regression",
                "balanced_accuracy": 0.5,
                "interval": [0.4, 0.6],
                "valid": True,
            }
            for arm in ARMS
        ],
        "legacy_protocol": deepcopy(LEGACY),
        "quality": {"rows": [{"metric": "kid", "scope": "overall", "value": 0.1, "n": 40}]},
    }


class Service:
    """Answers like the real one; tests change ``results`` and ``errors`` by kind before."""

    def __init__(self) -> None:
        self.uploaded = bytearray()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.submitted: list[tuple[str, dict[str, Any]]] = []
        self.cancelled: list[str] = []
        self.results: dict[str, dict[str, Any]] = {"pipeline": pipeline_result()}
        self.errors: dict[str, dict[str, Any]] = {}
        self.rejects: list[dict[str, str]] = []
        self.lost = 0
        self.masks = 0
        self.unfinished = False
        self.labels: list[str] = []
        self.key = KEY
        self._routes: list[tuple[str, str, Callable[..., httpx.Response]]] = [
            ("POST", r"/v1/uploads", self._begin),
            ("HEAD", r"/v1/uploads/upl_1", self._position),
            ("PATCH", r"/v1/uploads/upl_1", self._append),
            ("GET", r"/v1/datasets", self._datasets),
            ("GET", rf"/v1/datasets/{DATASET}/versions", self._versions),
            ("GET", rf"/v1/dataset-versions/{VERSION}", self._version),
            ("GET", rf"/v1/dataset-versions/{VERSION}/rejects", self._rejects),
            ("GET", r"/v1/jobs", self._list),
            ("POST", r"/v1/jobs/(job_\d+)/cancel", self._cancel),
            ("GET", r"/v1/jobs/(job_\d+)/events", lambda *_: problem(406, "not_acceptable")),
            (
                "GET",
                r"/v1/jobs/(job_\d+)/logs",
                lambda *_: httpx.Response(200, content=b"a\x1b[2J\n"),
            ),
            ("GET", r"/v1/jobs/(job_\d+)", self._get),
            ("POST", r"/v1/jobs/([a-z_]+)", self._submit),
            ("GET", r"/v1/artifacts/art_1/content", lambda *_: httpx.Response(200, content=REPORT)),
            ("POST", r"/v1/keys", self._key),
        ]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return problem(401, "invalid_key")
        for method, pattern, handler in self._routes:
            match = re.fullmatch(pattern, request.url.path)
            if match and method == request.method:
                return handler(request, *match.groups())
        return problem(404, "not_found")

    def connect(self, url: str, key: str | None, **options: Any) -> Client:
        """Stand in for Client."""
        return Client(
            url,
            key,
            transport=httpx.MockTransport(self),
            sleep=lambda _: None,
            retry=RetryPolicy(tries=2),
            **options,
        )

    def _begin(self, request: httpx.Request) -> httpx.Response:
        self._length = json.loads(request.read())["length"]
        return httpx.Response(201, json={"id": "upl_1"})

    def _position(self, _: httpx.Request) -> httpx.Response:
        position = {"upload-offset": str(len(self.uploaded)), "upload-length": str(self._length)}
        return httpx.Response(200, headers=position)

    def _append(self, request: httpx.Request) -> httpx.Response:
        self.uploaded += request.read()
        return httpx.Response(204, headers={"upload-offset": str(len(self.uploaded))})

    def names(self) -> list[str]:
        """Return the files of the tar that was uploaded."""
        with tarfile.open(fileobj=io.BytesIO(bytes(self.uploaded))) as tar:
            return tar.getnames()

    def _submit(self, request: httpx.Request, kind: str) -> httpx.Response:
        params = json.loads(request.read())
        if "validate_only" in request.url.params:
            return httpx.Response(200, json={"valid": True, "cost": {"seconds": 12.0}})
        self.submitted.append((kind, params))
        self.labels = request.url.params.get_list("label")
        job_id = f"job_{len(self.submitted)}"
        self.jobs[job_id] = self._job(job_id, kind, params)
        return httpx.Response(202, json=self.jobs[job_id] | {"status": "queued", "result": None})

    def _job(self, job_id: str, kind: str, params: dict[str, Any]) -> dict[str, Any]:
        error = self.errors.get(kind)
        result = self._import() if kind == "import" else self.results.get(kind, {})
        digest = hashlib.sha256(REPORT).hexdigest()
        report = {"id": "art_1", "name": "report.html", "sha256": digest, "bytes": len(REPORT)}
        return {
            "id": job_id,
            "kind": kind,
            "status": "failed" if error else "succeeded",
            "params": params,
            "result": None if error else result,
            "error": error,
            "artifacts": [report] if kind in ("pipeline", "export") and not error else [],
            "created_at": "2026-11-01T10:00:00Z",
        }

    def _import(self) -> dict[str, Any]:
        images = sum(not name.endswith(".csv") for name in self.names())
        return {
            "dataset_id": DATASET,
            "dataset_version_id": VERSION,
            "accepted": images - len(self.rejects) - self.masks - self.lost,
            "annotations": self.masks,
            "rejected": len(self.rejects),
            "warnings": [],
        }

    def _get(self, _: httpx.Request, job_id: str) -> httpx.Response:
        if job_id not in self.jobs:
            return problem(404, "not_found")
        shown = self.jobs[job_id]
        return httpx.Response(200, json=shown | ({"status": "running"} if self.unfinished else {}))

    def _list(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": list(self.jobs.values()), "next_cursor": None})

    def _cancel(self, _: httpx.Request, job_id: str) -> httpx.Response:
        self.cancelled.append(job_id)
        return httpx.Response(202, json=self.jobs[job_id] | {"status": "running"})

    def _datasets(self, _: httpx.Request) -> httpx.Response:
        items = [{"id": DATASET, "name": "clinic", "kind": "real"}]
        return httpx.Response(200, json={"items": items, "next_cursor": None})

    def _version(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=self._version_body())

    def _versions(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": [self._version_body()], "next_cursor": None})

    def _version_body(self) -> dict[str, Any]:
        classes = [{"name": "nv", "count": 2, "weak": False, "target": 2}]
        return {
            "id": VERSION,
            "dataset_id": DATASET,
            "kind": "real",
            "image_count": 2,
            "classes": classes,
        }

    def _rejects(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": self.rejects, "next_cursor": None})

    def _key(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.read())
        return httpx.Response(201, json={"id": "key_1", "key": "dsk_new", **body})
