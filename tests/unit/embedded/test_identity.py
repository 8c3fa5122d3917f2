"""Which identity is chosen, with the host's answers replaced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.embedded import identity
from core.embedded.errors import EmbeddedFailure
from core.embedded.identity import Identity, reachable, unprivileged


def host(monkeypatch: pytest.MonkeyPatch, uid: int, allowed: set[str], named: bool = True) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(identity, "_has_name", lambda _: named)
    monkeypatch.setattr(identity, "works", lambda who: who.form in allowed)


def test_a_user_with_a_name_is_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    host(monkeypatch, 1000, set())
    assert unprivileged().form == "same"


def test_root_takes_a_namespace_first(monkeypatch: pytest.MonkeyPatch) -> None:
    host(monkeypatch, 0, {"namespace", "user"})
    chosen = unprivileged()
    assert (chosen.form, chosen.owner) == ("namespace", 0)
    assert chosen.uid != 0


def test_root_without_namespaces_becomes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    host(monkeypatch, 0, {"user"})
    chosen = unprivileged()
    assert chosen.form == "user"
    assert chosen.owner == chosen.uid != 0


def test_a_nameless_user_takes_a_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    host(monkeypatch, 12345, {"namespace"}, named=False)
    chosen = unprivileged()
    assert (chosen.form, chosen.owner) == ("namespace", 12345)


@pytest.mark.parametrize(("uid", "allowed"), [(0, set()), (12345, {"user"})])
def test_without_any_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, uid: int, allowed: set[str]
) -> None:
    host(monkeypatch, uid, allowed, named=False)
    with pytest.raises(EmbeddedFailure, match="DATABASE_URL") as caught:
        unprivileged()
    assert caught.value.code == "embedded_identity"


def test_a_closed_parent_is_closed_to_another_user_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    inside = tmp_path / "folder" / "file"
    inside.parent.mkdir()
    inside.touch()
    assert reachable(inside, Identity("namespace", 65534, 65534, 0))
    assert not reachable(inside, Identity("user", 65534, 65534, 65534))
    assert reachable(Path("/bin/sh"), Identity("user", 65534, 65534, 65534))
