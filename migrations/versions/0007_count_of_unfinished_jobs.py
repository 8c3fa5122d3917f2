"""The tenant's count of unfinished jobs is kept by the database, when a transaction ends.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ENDED = "('succeeded', 'failed', 'canceled')"
# All submissions of a tenant change one row. Deferred, its lock is held for the end of the commit
# alone, and not while a client gets round to sending it.
COUNT = """
CREATE FUNCTION count_unfinished_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenants SET jobs_active = jobs_active + CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END
    WHERE id = NEW.tenant_id;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.execute(COUNT)
    op.execute(f"""
        CREATE CONSTRAINT TRIGGER count_submitted AFTER INSERT ON jobs
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (NEW.parent_id IS NULL AND NEW.status NOT IN {ENDED})
        EXECUTE FUNCTION count_unfinished_job()
    """)
    op.execute(f"""
        CREATE CONSTRAINT TRIGGER count_ended AFTER UPDATE OF status ON jobs
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (NEW.parent_id IS NULL AND NEW.status IN {ENDED} AND OLD.status NOT IN {ENDED})
        EXECUTE FUNCTION count_unfinished_job()
    """)


def downgrade() -> None:
    op.execute("DROP TRIGGER count_ended ON jobs")
    op.execute("DROP TRIGGER count_submitted ON jobs")
    op.execute("DROP FUNCTION count_unfinished_job()")
