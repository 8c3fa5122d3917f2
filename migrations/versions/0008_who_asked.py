"""Who asked for versions, models and experiments: jobs are deleted, what they made stays.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MADE = ("dataset_versions", "models", "experiments")


def upgrade() -> None:
    for table in MADE:
        op.add_column(table, sa.Column("created_by", sa.Text(), nullable=True))
    # what was made before is known from the audit log, where its request stands in both
    for table in MADE:
        op.execute(
            f"""
            UPDATE {table} made SET created_by = a.actor_id
            FROM jobs j JOIN audit_log a
                ON a.action = 'job.create' AND a.target_id = j.id AND a.tenant_id = j.tenant_id
            WHERE j.id = made.job_id
            """  # noqa: S608 - names of this file
        )


def downgrade() -> None:
    for table in MADE:
        op.drop_column(table, "created_by")
