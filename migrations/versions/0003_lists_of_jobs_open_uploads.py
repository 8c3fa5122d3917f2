"""lists of jobs at any size, open uploads of a tenant

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_by_kind", "jobs", ["tenant_id", "kind", "id"])
    op.create_index("ix_jobs_by_status", "jobs", ["tenant_id", "status", "id"])
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        ["queue", "id"],
        postgresql_where=sa.text("status = 'queued' AND pending_children = 0"),
    )
    op.create_index(
        "ix_uploads_open",
        "uploads",
        ["tenant_id"],
        postgresql_where=sa.text("completed_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_uploads_open", table_name="uploads")
    op.drop_index("ix_jobs_waiting", table_name="jobs")
    op.drop_index("ix_jobs_by_status", table_name="jobs")
    op.drop_index("ix_jobs_by_kind", table_name="jobs")
