"""Measures of jobs, their totals, and the GPUs that workers report.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Written where the status changes, so that no way of changing it can be forgotten, and a statement
# less for the worker. Rows are only ever appended: counting on a shared row would make every commit
# wait for every other.
MEASURE = """
CREATE FUNCTION measure_job() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz := clock_timestamp();
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO job_measures (name, kind, detail)
        VALUES ('submitted', NEW.kind, NEW.queue);
        RETURN NULL;
    END IF;
    IF NEW.status = 'running' THEN
        INSERT INTO job_measures (name, kind, detail, value) VALUES
            ('wait', NEW.kind, NEW.queue,
             greatest(0, extract(epoch FROM moment - OLD.available_at)));
        IF NEW.attempt > OLD.attempt THEN
            INSERT INTO job_measures (name, kind) VALUES ('attempt', NEW.kind);
        END IF;
        RETURN NULL;
    END IF;
    IF OLD.status = 'running' AND OLD.lease_token IS NOT NULL AND (
        (NEW.status = 'queued' AND NOT NEW.uncounted)
        OR (NEW.status = 'failed' AND NEW.error ->> 'code' = 'worker_lost')
    ) THEN
        INSERT INTO job_measures (name, kind, detail) VALUES
            ('lost', NEW.kind,
             CASE WHEN OLD.lease_expires_at < moment THEN 'lease' ELSE 'process' END);
    END IF;
    IF NEW.status = 'queued' THEN
        IF NOT NEW.uncounted THEN
            INSERT INTO job_measures (name, kind) VALUES ('retry', NEW.kind);
        END IF;
        RETURN NULL;
    END IF;
    INSERT INTO job_measures (name, kind, detail) VALUES ('ended', NEW.kind, NEW.status);
    IF NEW.status = 'failed' THEN
        INSERT INTO job_measures (name, kind, detail) VALUES
            ('failure', NEW.kind, coalesce(NEW.error ->> 'code', 'unknown'));
    END IF;
    IF NEW.started_at IS NOT NULL THEN
        INSERT INTO job_measures (name, kind, value) VALUES
            ('run', NEW.kind, greatest(0, extract(epoch FROM moment - NEW.started_at)));
    END IF;
    RETURN NULL;
END
$$
"""

MEASURE_DELIVERY = """
CREATE FUNCTION measure_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO job_measures (name, kind, detail) VALUES ('delivery', NEW.event, NEW.status);
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "job_measures",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_measures")),
    )
    op.create_table(
        "job_totals",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("bound", sa.Float(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "kind", "detail", "bound", name=op.f("pk_job_totals")),
    )
    op.add_column(
        "workers",
        sa.Column("gpus", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
    )
    op.add_column("jobs", sa.Column("origin", postgresql.JSONB(), nullable=True))
    op.execute(MEASURE)
    op.execute(
        "CREATE TRIGGER measure_submitted AFTER INSERT ON jobs "
        "FOR EACH ROW EXECUTE FUNCTION measure_job()"
    )
    op.execute(
        "CREATE TRIGGER measure_moved AFTER UPDATE OF status ON jobs FOR EACH ROW "
        "WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION measure_job()"
    )
    op.execute(MEASURE_DELIVERY)
    op.execute(
        "CREATE TRIGGER measure_ended AFTER UPDATE OF status ON webhook_deliveries FOR EACH ROW "
        "WHEN (OLD.status IS DISTINCT FROM NEW.status AND NEW.status <> 'pending') "
        "EXECUTE FUNCTION measure_delivery()"
    )
    op.execute(
        "INSERT INTO job_totals (name, kind, detail, bound, count, total) "
        "SELECT 'ended', kind, status, 'Infinity', count(*), 0 FROM jobs "
        "WHERE finished_at IS NOT NULL GROUP BY kind, status"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER measure_ended ON webhook_deliveries")
    op.execute("DROP FUNCTION measure_delivery()")
    op.execute("DROP TRIGGER measure_moved ON jobs")
    op.execute("DROP TRIGGER measure_submitted ON jobs")
    op.execute("DROP FUNCTION measure_job()")
    op.drop_column("jobs", "origin")
    op.drop_column("workers", "gpus")
    op.drop_table("job_totals")
    op.drop_table("job_measures")
