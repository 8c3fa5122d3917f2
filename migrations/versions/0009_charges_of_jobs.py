"""Bytes that came with a job count until they are garbage.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_charges",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_job_charges_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenants.id"],
            name=op.f("fk_job_charges_tenant_id_tenants"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_charges")),
    )
    op.execute(
        """
        CREATE FUNCTION give_back_job_charges() RETURNS trigger LANGUAGE plpgsql AS $$
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
        CREATE TRIGGER give_back AFTER DELETE ON job_charges REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION give_back_job_charges()
        """
    )


def downgrade() -> None:
    # the tenants get back what is no longer known to be theirs
    op.execute("DELETE FROM job_charges")
    op.drop_table("job_charges")
    op.execute("DROP FUNCTION give_back_job_charges()")
