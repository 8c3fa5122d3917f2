"""Settings, from the environment (prefix ``DERMSYNTH_``); reading them connects to nothing."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

GIB = 1024**3


def _networks(text: str) -> str:
    """Refuse a list of networks with a typing error at the start, not at a delivery."""
    for part in filter(None, (part.strip() for part in text.split(","))):
        ip_network(part)
    return text


def _split(value: object) -> object:
    """Return the parts of a list that is written with commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class Settings(BaseSettings):
    """All settings of all processes; README's table is made from these fields."""

    model_config = SettingsConfigDict(env_prefix="DERMSYNTH_", extra="ignore", frozen=True)

    database_url: str = Field(
        "postgresql+psycopg://dermsynth:dermsynth@localhost:5432/dermsynth",
        validation_alias=AliasChoices("DATABASE_URL", "DERMSYNTH_DATABASE_URL", "database_url"),
        description="SQLAlchemy address of PostgreSQL.",
    )
    redis_url: str = Field(
        "redis://localhost:6379/0",
        validation_alias=AliasChoices("REDIS_URL", "DERMSYNTH_REDIS_URL", "redis_url"),
        description="Address of Redis or Valkey, the broker of hints.",
    )
    data_dir: Path = Field(Path("var/data"), description="Shared volume: blobs, uploads, logs.")
    weights_dir: Path = Field(
        Path("var/weights"), description="Folder searched for pretrained weights."
    )
    diagnostics: bool = Field(False, description="Offer the job kinds noop, sleep and crash.")

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where torch computes.")
    threads: int = Field(
        0,
        ge=0,
        description="Compute threads per job; 0: the cores are shared among a worker's slots.",
    )

    lease_seconds: float = Field(60.0, gt=0, description="A silent worker loses its job after it.")
    heartbeat_seconds: float = Field(
        1.0,
        gt=0,
        description="How often a lease is renewed, progress written and the cancel flag read.",
    )
    reaper_seconds: float = Field(15.0, gt=0, description="How often lost jobs are looked for.")
    backoff_seconds: float = Field(5.0, ge=0, description="Wait before a second attempt; doubles.")
    backoff_max_seconds: float = Field(300.0, ge=0, description="Longest wait before an attempt.")
    hint_age_seconds: float = Field(
        5.0, gt=0, description="A job queued for longer gets its hint again."
    )
    kill_grace_seconds: float = Field(5.0, ge=0, description="From SIGTERM to SIGKILL of a job.")
    event_poll_seconds: float = Field(0.5, gt=0, description="How often the API reads new events.")

    max_upload_bytes: int = Field(50 * GIB, gt=0, description="Largest upload.")
    max_body_bytes: int = Field(8 * 1024**2, gt=0, description="Largest JSON body.")
    max_header_bytes: int = Field(
        32 * 1024, gt=0, description="Largest head of a request, and its largest trailers."
    )
    header_seconds: float = Field(10.0, gt=0, description="Longest arrival of a request's head.")
    body_idle_seconds: float = Field(
        60.0,
        gt=0,
        description="A request whose body stops for longer is refused; one that is answered before"
        " its body has arrived has as long to send the rest.",
    )
    max_archive_files: int = Field(200_000, gt=0, description="Most entries of an archive.")
    max_archive_bytes: int = Field(50 * GIB, gt=0, description="Most bytes of an unpacked archive.")
    max_archive_ratio: float = Field(100.0, gt=1, description="Largest compression ratio.")
    max_image_pixels: int = Field(100_000_000, gt=0, description="Most pixels of one image.")
    max_decoder_bytes: int = Field(
        4 * GIB, gt=0, description="Most memory of one process that decodes uploaded images."
    )
    max_decoder_cpu_seconds: int = Field(
        60, gt=0, description="Most processor seconds for decoding one uploaded image."
    )
    max_decoder_seconds: float = Field(
        120.0, gt=0, description="Most seconds by the clock for decoding one uploaded image."
    )
    thumbnail_processes: int = Field(
        2, gt=0, le=64, description="Processes in which one API process makes thumbnails."
    )
    upload_ttl_hours: float = Field(24.0, gt=0, description="Unfinished uploads expire after it.")

    max_open_uploads: int = Field(1_000, gt=0, description="Unfinished uploads of one tenant.")
    max_open_upload_bytes: int = Field(
        200 * GIB, gt=0, description="Announced bytes of one tenant's unfinished uploads."
    )

    disk_reserve_bytes: int = Field(
        GIB, ge=0, description="Free bytes of the volume that nothing new may take: 507 before."
    )
    disk_reserve_percent: float = Field(
        0.0, ge=0, lt=100, description="The same as a share of the volume; the larger one holds."
    )
    max_tenant_bytes: int = Field(
        0, ge=0, description="Bytes one tenant may keep, unless its row says more; 0: no limit."
    )
    housekeeping_hours: float = Field(
        6.0, gt=0, description="How often a worker collects garbage and applies what follows."
    )
    garbage_hours: float = Field(
        24.0, gt=0, description="A file that nothing refers to is removed when it is so old."
    )
    keep_jobs_days: float = Field(
        0.0, ge=0, description="Ended jobs without a product are deleted after it; 0: never."
    )
    keep_events_days: float = Field(
        0.0, ge=0, description="Logs and events of ended jobs are deleted after it; 0: never."
    )
    keep_answers_days: float = Field(
        7.0, gt=0, description="A request with an Idempotency-Key may be repeated for so long."
    )
    cache_days: float = Field(
        90.0, ge=0, description="Cached features and thumbnails are made anew after it; 0: never."
    )
    feature_cache_bytes: int = Field(
        50 * GIB, ge=0, description="Most bytes of cached features, oldest go first; 0: no limit."
    )
    thumbnail_cache_bytes: int = Field(
        5 * GIB, ge=0, description="Most bytes of thumbnails, oldest go first; 0: no limit."
    )

    max_active_jobs: int = Field(10_000, gt=0, description="Unfinished jobs of one tenant.")
    requests_per_minute: int = Field(
        6_000, gt=0, description="Requests of one key or session to one API process."
    )
    failed_logins_per_minute: int = Field(
        120,
        gt=0,
        description="Wrong keys, cookies and login links of one client address to one API process; "
        "keys that were right before are not counted.",
    )
    key_cache_seconds: float = Field(
        1.0,
        ge=0,
        le=5,
        description="How long an API process may trust a key that it has just checked; a key "
        "revoked through another process is refused after it.",
    )
    max_predict_images: int = Field(32, gt=0, le=32, description="Images of one predict call.")

    webhook_sender: bool = Field(
        True, description="Send web hooks from this worker; false where there is no way out."
    )
    webhook_http: bool = Field(False, description="Allow web hooks to http:// as well.")
    webhook_networks: Annotated[str, AfterValidator(_networks)] = Field(
        "",
        description="Networks beside the public ones that web hooks may reach, as CIDR by commas.",
    )
    max_webhooks: int = Field(20, ge=0, description="Web hooks of one tenant.")
    webhook_threads: int = Field(16, gt=1, description="Web hooks sent at once by one worker.")
    webhook_timeout_seconds: float = Field(15.0, gt=0, description="Longest delivery in all.")
    webhook_poll_seconds: float = Field(2.0, gt=0, description="How often due ones are looked for.")
    webhook_backoff_seconds: float = Field(
        5.0, ge=0, description="Wait before a delivery is tried again; times four each time."
    )
    webhook_backoff_max_seconds: float = Field(
        6 * 3600.0, ge=0, description="Longest wait before a delivery is tried again."
    )
    webhook_give_up_hours: float = Field(24.0, ge=0, description="A delivery is tried for so long.")
    webhook_disable_days: float = Field(
        5.0, gt=0, description="A web hook that has failed for so long is switched off."
    )
    webhook_overlap_hours: float = Field(
        24.0, ge=0, description="How long a replaced web hook secret still signs."
    )
    webhook_keep_days: float = Field(30.0, gt=0, description="Ended deliveries are kept for it.")

    hosts: str = Field(
        "localhost,127.0.0.1,[::1]",
        description="Host headers that are answered, separated by commas; * answers all.",
    )
    cookie_login: bool = Field(
        False, description="Offer the one-time link that sets a session cookie (embedded stack)."
    )
    key_pepper: str = Field(
        "", description="Secret for the hash of API keys; empty: one is made in the data folder."
    )
    metrics_networks: Annotated[
        tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_split)
    ] = Field(
        (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")),
        description="Networks that read /metrics without a key, separated by commas; others need "
        "the scope metrics:read.",
    )
    metrics_keep_seconds: float = Field(
        5.0, ge=0, description="How long /metrics repeats what it read from the database."
    )
    log_format: Literal["json", "text"] = Field(
        "json", description="Log lines of api and workers: JSON objects, or text."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is logged at least."
    )
    otlp_endpoint: str = Field(
        "",
        description="Address of an OpenTelemetry collector (OTLP over HTTP, like "
        "http://collector:4318); empty: no traces.",
    )
    version_suffix: str = Field("", description="Appended to the version, for builds.")


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process; tests call ``get_settings.cache_clear()``."""
    return Settings()
