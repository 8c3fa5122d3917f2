"""Assets: the person that a body or a background shows.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("assets", sa.Column("group_ids", postgresql.ARRAY(sa.Text()), nullable=True))
    op.execute("UPDATE assets SET group_ids = ARRAY['asset:' || id]")
    op.alter_column("assets", "group_ids", nullable=False)
    op.create_index("ix_assets_group_ids", "assets", ["group_ids"], postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_assets_group_ids", table_name="assets")
    op.drop_column("assets", "group_ids")
