"""Downloads into a folder: names from the server are hostile until proven plain."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import httpx

from api.client.failures import ApiProblem, DownloadRefused, ServerUnreachable
from api.client.records import Artifact, Job
from api.client.transport import Transport, decoded, path_of

MAX_NAME_BYTES = 200
_NOT_PLAIN = re.compile(r"[^\w.\-+ ()\[\],=@]")
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10)}
)
Tell = Callable[[int], None]


def plain_name(name: str, fallback: str) -> str:
    """Return a file name without folders, hidden dots, control characters or device names."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    plain = _NOT_PLAIN.sub("_", last).strip(" .")
    if plain.partition(".")[0].lower() in _DEVICES:
        plain = f"_{plain}"
    if len(plain.encode()) > MAX_NAME_BYTES:
        stem, dot, suffix = plain.rpartition(".")
        keep = suffix if dot and len(suffix) <= 10 else ""
        stem = (stem if keep else plain).encode()[: MAX_NAME_BYTES - 12].decode(errors="ignore")
        plain = f"{stem}.{keep}" if keep else stem
    return plain or plain_name(fallback, "file")


class Artifacts:
    """``/v1/artifacts``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, artifact_id: str) -> Artifact:
        answer = self._transport.send("GET", path_of("artifacts", artifact_id))
        return Artifact.model_validate(decoded(answer))

    def download_all(self, job: Job, folder: Path | str, *, overwrite: bool = False) -> list[Path]:
        """Download every artifact of a job into ``folder``; returns the paths."""
        return [self.download(item, folder, overwrite=overwrite) for item in job.artifacts]

    def download(
        self,
        artifact: Artifact,
        folder: Path | str,
        *,
        name: str | None = None,
        overwrite: bool = False,
        tell: Tell | None = None,
    ) -> Path:
        """Download one artifact as ``folder/name``; the file appears whole or not at all.

        ``name`` is the caller's, a bare file name; without it the artifact's, made plain.
        A file with the same content is kept as it is. DownloadRefused: another file is in the way
        and ``overwrite`` is false, or the hash of what arrived is wrong.
        """
        target = Path(folder) / (_bare(name) if name else plain_name(artifact.name, artifact.id))
        if _holds(target, artifact.sha256):
            return target
        if os.path.lexists(target) and not overwrite:
            raise DownloadRefused(f"{target} exists already and differs.")
        target.parent.mkdir(parents=True, exist_ok=True)
        path = path_of("artifacts", artifact.id, "content")
        handle, temporary = tempfile.mkstemp(prefix=".download-", dir=target.parent)
        try:
            with os.fdopen(handle, "w+b") as file:
                self.fetch(path, file, sha256=artifact.sha256, tell=tell)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return target

    def fetch(
        self,
        path: str,
        file: IO[bytes],
        *,
        sha256: str | None = None,
        accept: str = "*/*",
        tell: Tell | None = None,
    ) -> None:
        """Write a resource's content to ``file``; a connection that breaks is resumed by Range."""
        digest = hashlib.sha256()
        failures = 0
        while True:
            before = file.tell()
            try:
                self._fetch_from(path, file, digest, accept, tell)
                break
            except (httpx.TransportError, ApiProblem) as error:
                if before and isinstance(error, ApiProblem) and error.status == 416:
                    break  # the connection broke after the last byte
                failures = 1 if file.tell() > before else failures + 1
                self._wait_or_raise(error, failures)
        if sha256 is not None and digest.hexdigest() != sha256:
            raise DownloadRefused(f"{path} arrived with another hash than the published one.")

    def _fetch_from(
        self, path: str, file: IO[bytes], digest: hashlib._Hash, accept: str, tell: Tell | None
    ) -> None:
        have = file.tell()
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with self._transport.stream(path, headers=headers) as response:
            skip = have if response.status_code == 200 else 0  # Range was not honoured
            for chunk in response.iter_bytes():
                fresh = chunk[skip:]
                skip = max(0, skip - len(chunk))
                file.write(fresh)
                digest.update(fresh)
                if tell is not None and fresh:
                    tell(file.tell())

    def _wait_or_raise(self, error: httpx.TransportError | ApiProblem, failures: int) -> None:
        transport = self._transport
        if isinstance(error, ApiProblem):
            if failures >= transport.policy.tries or not transport.worth_another(error):
                raise error
            transport.pause(failures, error.retry_after, f"HTTP {error.status}")
            return
        if failures >= transport.policy.tries:
            raise ServerUnreachable(
                f"The download from {transport.base_url} broke: {error}"
            ) from error
        transport.pause(failures, None, "the download broke")


def _bare(name: str) -> str:
    if name in ("", ".", "..") or Path(name).name != name or "\0" in name or "\\" in name:
        raise DownloadRefused(f"{name!r} is not a bare file name.")
    return name


def _holds(target: Path, sha256: str | None) -> bool:
    """Tell whether the target is already the file that is asked for."""
    if sha256 is None or target.is_symlink() or not target.is_file():
        return False
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256
