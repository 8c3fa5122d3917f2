"""What all tables share, and the tenant that owns most of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, DateTime, ForeignKey, MetaData, Text, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(),
        list[Any]: JSONB(),
        list[str]: ARRAY(Text()),
    }


def now() -> Any:
    """Return a column that is filled with the time of its row's insertion."""
    return mapped_column(server_default=func.clock_timestamp())


class Tenant(Base):
    """Who owns things.

    ``jobs_active`` counts its unfinished jobs without a parent; triggers keep it when a transaction
    ends. ``bytes_used`` is what it keeps: versions, artifacts, models, uploads and what came with
    jobs, each with all its bytes, also where blobs are shared. Writers add to it; a trigger takes
    off what is deleted, in whatever way.
    """

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    jobs_active: Mapped[int] = mapped_column(server_default="0")
    max_active_jobs: Mapped[int | None]
    bytes_used: Mapped[int] = mapped_column(BigInteger, server_default="0")
    max_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = now()


class Owned:
    """Rows that a tenant owns."""

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
