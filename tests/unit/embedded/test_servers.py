"""The real servers: start, crash, restart, leftovers, ports that are taken."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from core.embedded import binaries, leftovers
from core.embedded.errors import EmbeddedFailure
from core.embedded.identity import Identity, unprivileged, works
from core.embedded.ports import LOOPBACK
from core.embedded.postgres import PostgresServer
from core.embedded.server import Server
from core.embedded.servers import Servers
from core.embedded.valkey import ValkeyServer

KINDS = [PostgresServer, ValkeyServer]


def write(server: Server, value: str) -> None:
    if isinstance(server, ValkeyServer):
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", value)
        return
    with psycopg.connect(server.url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])


def read(server: Server) -> str:
    if isinstance(server, ValkeyServer):
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            return str(client.get("kept"))
    with psycopg.connect(server.url.replace("+psycopg", "")) as connection:
        row = connection.execute("SELECT value FROM kept").fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_server_comes_back_on_its_port_with_its_data(
    kind: type[Server], tmp_path: Path
) -> None:
    with kind(tmp_path / "server") as server:
        url = server.url
        write(server, "value")
        server.kill()
        assert not server.alive()
        assert server.start() == url
        assert read(server) == "value"


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_start_after_the_owner_was_killed(
    kind: type[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "leftover_seconds", 0.5)
    folder = tmp_path / "server"
    code = f"""
import time
from pathlib import Path
from {kind.__module__} import {kind.__name__} as Kind
server = Kind(Path({str(folder)!r}))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner, owner.stdout:
        server_pid = int(owner.stdout.readline())
        with pytest.raises(EmbeddedFailure, match=str(owner.pid)):
            kind(folder).start()
        os.kill(server_pid, signal.SIGSTOP)  # it cannot follow its owner into death
        owner.kill()
        owner.wait()
    with kind(folder) as server:
        assert not leftovers.alive(server_pid)
        write(server, "again")
        assert read(server) == "again"


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_leaves_when_its_owner_is_killed(kind: type[Server], tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from {kind.__module__} import {kind.__name__} as Kind
server = Kind(Path({str(tmp_path / "server")!r}))
server.start()
print(server.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False
    )
    deadline = time.monotonic() + 30
    while leftovers.alive(int(ended.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_a_port_taken_since_the_last_run_is_given_up(kind: type[Server], tmp_path: Path) -> None:
    with kind(tmp_path / "server") as server:
        before = server.port
        write(server, "value")
    with socket.create_server((LOOPBACK, before or 0)), kind(tmp_path / "server") as again:
        assert again.port != before
        assert read(again) == "value"


@pytest.mark.parametrize("kind", KINDS)
def test_a_port_that_is_taken_between_choice_and_start(
    kind: type[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server((LOOPBACK, 0)) as thief:
        stolen = [thief.getsockname()[1]]
        choose = kind._choose_port
        monkeypatch.setattr(
            kind, "_choose_port", lambda self: stolen.pop() if stolen else choose(self)
        )
        with kind(tmp_path / "server") as server:
            write(server, "value")
            assert not stolen
            assert server.port != thief.getsockname()[1]


@pytest.mark.parametrize("kind", KINDS)
def test_an_odd_folder_name_is_no_trouble(kind: type[Server], tmp_path: Path) -> None:
    folder = tmp_path / ("long-" * 25) / 'blank "quote" ä'
    folder.mkdir(parents=True)
    with kind(folder / "server") as server:
        write(server, "value")
        assert read(server) == "value"


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_password_nobody_comes_in(kind: type[Server], tmp_path: Path) -> None:
    with kind(tmp_path / "server") as server:
        url = server.url.replace(server.password, "wrong").replace("+psycopg", "")
        with pytest.raises((psycopg.OperationalError, redis.AuthenticationError)):
            if isinstance(server, PostgresServer):
                psycopg.connect(url)
            else:
                redis.Redis.from_url(url).ping()


@pytest.mark.parametrize("kind", KINDS)
def test_secrets_are_readable_by_the_owner_alone(kind: type[Server], tmp_path: Path) -> None:
    with kind(tmp_path / "server") as server:
        assert server.folder.stat().st_mode & 0o777 == 0o700
        for path in server.folder.iterdir():
            if path.suffix in {".json", ".conf"}:
                assert path.stat().st_mode & 0o777 == 0o600
        command = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert server.password.encode() not in command


def test_valkey_syncs_every_write_and_evicts_nothing(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("appendfsync")["appendfsync"] == "always"
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"


def test_postgres_is_safe_at_a_power_cut_unless_told_otherwise(tmp_path: Path) -> None:
    for durable in (True, False):
        with (
            PostgresServer(tmp_path / str(durable), durable=durable) as server,
            psycopg.connect(server.url.replace("+psycopg", "")) as connection,
        ):
            assert connection.execute("SHOW fsync").fetchone() == ("on" if durable else "off",)


def test_a_half_made_cluster_is_made_again(tmp_path: Path) -> None:
    draft = tmp_path / "data.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("1")
    with PostgresServer(tmp_path) as server:
        write(server, "value")
    assert not draft.exists()


def test_data_of_another_version_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedFailure, match="PostgreSQL 9") as caught:
        PostgresServer(tmp_path).start()
    assert caught.value.code == "embedded_postgres_version"


def test_a_lost_password_is_a_typed_error(tmp_path: Path) -> None:
    with PostgresServer(tmp_path) as server:
        write(server, "value")
    (tmp_path / "server.json").unlink()
    with pytest.raises(EmbeddedFailure) as caught:
        PostgresServer(tmp_path).start()
    assert caught.value.code == "embedded_postgres_password"


def test_no_program_is_a_typed_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(binaries, "_package_folder", lambda _: None)
    monkeypatch.setattr(binaries, "_DISTRIBUTION_FOLDERS", ())
    monkeypatch.setattr("core.embedded.binaries.shutil.which", lambda _: None)
    with pytest.raises(EmbeddedFailure, match="DATABASE_URL"):
        PostgresServer(tmp_path / "postgres").start()
    with pytest.raises(EmbeddedFailure, match="REDIS_URL"):
        ValkeyServer(tmp_path / "valkey").start()


def test_programs_of_the_machine_are_found_without_the_wheels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("postgres", "initdb", "redis-server"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setattr(binaries, "_package_folder", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = binaries.find_postgres(Identity("same", 1, 1, 1))
    assert (found.postgres, found.initdb) == (tmp_path / "postgres", tmp_path / "initdb")
    assert binaries.find_valkey() == tmp_path / "redis-server"


NOBODY = Identity("user", 65534, 65534, 65534)


@pytest.fixture
def nobody_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make this a host where root has no namespaces, with a place of root's in /tmp."""
    if os.geteuid() != 0 or not works(NOBODY):
        pytest.skip("only root becomes another user")
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    place.chmod(0o711)
    monkeypatch.setattr(binaries, "SHARED", place / "shared")
    monkeypatch.setattr("core.embedded.postgres.unprivileged", lambda: NOBODY)
    yield place / "shared"
    shutil.rmtree(place)


def test_as_nobody_programs_and_data_lie_where_it_can_reach(
    nobody_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(binaries, "reachable", lambda *_: False)
    with PostgresServer(tmp_path / "server") as server:
        write(server, "value")
        assert server._data().is_relative_to(nobody_only)
        assert server._data().stat().st_uid == NOBODY.owner
        server.kill()
        server.start()
        assert read(server) == "value"
        program = Path(f"/proc/{server.pid}/exe").readlink()
        assert program.is_relative_to(nobody_only)
        place = server._data().parent
    server.remove()
    assert not place.exists()
    assert not (tmp_path / "server").exists()


def test_data_moves_to_nobody_and_serves_a_namespace_again(
    nobody_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for who in (unprivileged(), NOBODY, unprivileged()):
        monkeypatch.setattr("core.embedded.postgres.unprivileged", lambda who=who: who)
        with PostgresServer(tmp_path / "server") as server:
            write(server, "value")
            with psycopg.connect(server.url.replace("+psycopg", "")) as connection:
                counted = connection.execute("SELECT count(*) FROM kept").fetchone()
            assert server._data().stat().st_uid == who.owner
    assert counted == (3,)


def test_both_servers_and_their_environment(tmp_path: Path) -> None:
    with Servers(tmp_path / "servers", durable=False) as servers:
        assert servers.environment() == {
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
        }
        pids = [servers.postgres.pid, servers.valkey.pid]
    assert not any(leftovers.alive(pid) for pid in pids if pid)
    servers.remove()
    assert not (tmp_path / "servers").exists()


def test_an_address_before_the_start_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedFailure, match="not started"):
        _ = ValkeyServer(tmp_path).url
