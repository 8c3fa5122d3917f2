"""Assets: bodies and backgrounds to render with.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "assets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("licence", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.Column("files", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("info", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_assets_job_id")),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenants.id"],
            name=op.f("fk_assets_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assets")),
    )
    op.create_index(op.f("ix_assets_tenant_id_assets_id"), "assets", ["tenant_id", "id"])
    op.create_index(op.f("ix_assets_job_id"), "assets", ["job_id"])
    op.execute(
        """
        CREATE FUNCTION give_back_assets() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE tenants t SET bytes_used = t.bytes_used - g.bytes
            FROM (SELECT tenant_id, sum(bytes)::bigint AS bytes FROM gone GROUP BY tenant_id) g
            WHERE t.id = g.tenant_id AND g.bytes <> 0;
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER give_back AFTER DELETE ON assets REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION give_back_assets()
        """
    )


def downgrade() -> None:
    # the tenants get back what is no longer known to be theirs
    op.execute("DELETE FROM assets")
    op.drop_table("assets")
    op.execute("DROP FUNCTION give_back_assets()")
