"""All tables, typed (SQLAlchemy 2); the migrations in ``migrations/`` make exactly these."""

from __future__ import annotations

from core.db.models.access import ApiKey, AuditEntry, BrowserSession, IdempotencyKey
from core.db.models.base import Base, Owned, Tenant
from core.db.models.datasets import Dataset, DatasetVersion, Image, Upload
from core.db.models.erasures import Erasure, PendingRemoval
from core.db.models.jobs import Job, JobBlob, JobCharge, JobEvent, JobMeasure, JobTotal, Worker
from core.db.models.products import Artifact, Asset, Experiment, TrainedModel
from core.db.models.webhooks import Webhook, WebhookDelivery

__all__ = [
    "ApiKey",
    "Artifact",
    "Asset",
    "AuditEntry",
    "Base",
    "BrowserSession",
    "Dataset",
    "DatasetVersion",
    "Erasure",
    "Experiment",
    "IdempotencyKey",
    "Image",
    "Job",
    "JobBlob",
    "JobCharge",
    "JobEvent",
    "JobMeasure",
    "JobTotal",
    "Owned",
    "PendingRemoval",
    "Tenant",
    "TrainedModel",
    "Upload",
    "Webhook",
    "WebhookDelivery",
    "Worker",
]
