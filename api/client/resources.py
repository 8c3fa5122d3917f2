"""Models, experiments and keys."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from api.client.failures import SourceRefused
from api.client.records import Experiment, Job, Key, Model, NewKey, Predictions, parse
from api.client.transport import Transport, decoded, path_of


class Models:
    """``/v1/models``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Model]:
        """Yield trained models, newest first."""
        return (parse(Model, item) for item in self._transport.pages(path_of("models"), limit=100))

    def get(self, model_id: str) -> Model:
        return parse(Model, self._transport.get(path_of("models", model_id)))

    def predict(self, model_id: str, images: Sequence[Path | str]) -> Predictions | Job:
        """Send photographs to a model; the job instead when it takes longer than the server waits.

        Research only, not for diagnosis.
        """
        files = [("images", _photograph(Path(image))) for image in images]
        if not files:
            raise SourceRefused("There is no image to predict.")
        key = uuid.uuid4().hex
        # the boundary is fixed: a second try must be the same body
        form = httpx.Request(
            "POST",
            "http://form",
            files=files,
            headers={"Content-Type": f"multipart/form-data; boundary={key}"},
        )
        answer = self._transport.send(
            "POST",
            path_of("models", model_id, "predict"),
            content=form.read(),
            headers={"Content-Type": form.headers["content-type"], "Idempotency-Key": key},
        )
        body = decoded(answer)
        return parse(Job, body) if answer.status_code == 202 else parse(Predictions, body)


class Experiments:
    """``/v1/experiments``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, experiment_id: str) -> Experiment:
        return parse(Experiment, self._transport.get(path_of("experiments", experiment_id)))

    def predictions(self, experiment_id: str) -> Iterator[dict[str, Any]]:
        """Yield rows image_id, seed, fold, arm, probabilities."""
        return self._transport.pages(
            path_of("experiments", experiment_id, "predictions"), limit=200
        )


class Keys:
    """``/v1/keys``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Key]:
        return (parse(Key, item) for item in self._transport.pages(path_of("keys"), limit=100))

    def create(self, name: str, scopes: Sequence[str], *, expires_at: str | None = None) -> NewKey:
        """Create a key; its secret is in the answer and never again."""
        body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if expires_at is not None:
            body["expires_at"] = expires_at
        return parse(NewKey, decoded(self._transport.create(path_of("keys"), body)))

    def rotate(self, key_id: str, *, overlap_seconds: int | None = None) -> NewKey:
        """Make the successor of a key; the old one works on for the overlap (a day)."""
        body = {} if overlap_seconds is None else {"overlap_seconds": overlap_seconds}
        return parse(
            NewKey, decoded(self._transport.create(path_of("keys", key_id, "rotate"), body))
        )

    def revoke(self, key_id: str) -> None:
        self._transport.send("DELETE", path_of("keys", key_id))


def _photograph(path: Path) -> tuple[str, bytes]:
    try:
        return path.name, path.read_bytes()
    except OSError as error:
        raise SourceRefused(f"{path} cannot be read: {error.strerror}") from error
