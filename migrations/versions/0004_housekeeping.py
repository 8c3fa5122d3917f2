"""what housekeeping needs: bytes of tenants, blobs of unfinished jobs, indexes of references

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COUNTED = {
    "dataset_versions": "bytes",
    "artifacts": "bytes",
    "models": "bytes",
    "uploads": "length",
}
ANNOTATIONS = """jsonb_path_query_array(provenance, '$."annotations".*'::jsonpath)"""


def upgrade() -> None:
    op.add_column(
        "tenants", sa.Column("bytes_used", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column("tenants", sa.Column("max_bytes", sa.BigInteger(), nullable=True))
    for table in ("dataset_versions", "models"):
        op.add_column(
            table, sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False)
        )
    _job_blobs()
    _indexes()
    for table, column in COUNTED.items():
        _give_back(table, column)
    op.execute(
        """
        UPDATE tenants t SET bytes_used =
            coalesce((SELECT sum(bytes) FROM artifacts WHERE tenant_id = t.id), 0)
            + coalesce((SELECT sum(length) FROM uploads WHERE tenant_id = t.id), 0)
        """
    )


def _job_blobs() -> None:
    op.create_table(
        "job_blobs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_job_blobs_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "sha256", name=op.f("pk_job_blobs")),
    )
    op.create_index(op.f("ix_job_blobs_sha256"), "job_blobs", ["sha256"])


def _indexes() -> None:
    op.create_index(op.f("ix_artifacts_sha256"), "artifacts", ["sha256"])
    op.create_index(
        op.f("ix_dataset_versions_manifest_blob"), "dataset_versions", ["manifest_blob"]
    )
    for table in ("dataset_versions", "models", "experiments"):
        op.create_index(op.f(f"ix_{table}_job_id"), table, ["job_id"])
    op.create_index(
        "ix_jobs_ended_roots",
        "jobs",
        ["finished_at"],
        postgresql_where=sa.text("parent_id IS NULL"),
    )
    op.create_index(
        "ix_images_annotations",
        "images",
        [sa.text(ANNOTATIONS)],
        postgresql_using="gin",
        postgresql_where=sa.text("provenance ? 'annotations'"),
    )


def _give_back(table: str, column: str) -> None:
    """Whoever deletes rows, cascades included, gives their bytes back to the tenant."""
    op.execute(
        f"""
        CREATE FUNCTION give_back_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE tenants t SET bytes_used = t.bytes_used - g.bytes
            FROM (SELECT tenant_id, sum({column})::bigint AS bytes FROM gone GROUP BY tenant_id) g
            WHERE t.id = g.tenant_id AND g.bytes <> 0;
            RETURN NULL;
        END $$
        """  # noqa: S608 - names of this file
    )
    op.execute(
        f"""
        CREATE TRIGGER give_back AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION give_back_{table}()
        """
    )


def downgrade() -> None:
    for table in COUNTED:
        op.execute(f"DROP TRIGGER give_back ON {table}")
        op.execute(f"DROP FUNCTION give_back_{table}()")
    op.drop_index("ix_images_annotations", table_name="images")
    op.drop_index("ix_jobs_ended_roots", table_name="jobs")
    for table in ("experiments", "models", "dataset_versions"):
        op.drop_index(op.f(f"ix_{table}_job_id"), table_name=table)
    op.drop_index(op.f("ix_dataset_versions_manifest_blob"), table_name="dataset_versions")
    op.drop_index(op.f("ix_artifacts_sha256"), table_name="artifacts")
    op.drop_table("job_blobs")
    for table in ("models", "dataset_versions"):
        op.drop_column(table, "bytes")
    op.drop_column("tenants", "max_bytes")
    op.drop_column("tenants", "bytes_used")
