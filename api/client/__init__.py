"""The Python client of DermSynth3D.

::

    from api.client import Client

    with Client("http://127.0.0.1:8000", "dsk_…") as client:
        taken = client.import_dataset("photographs/", name="clinic")
        job = client.jobs.submit("pipeline", {"dataset_version_id": taken.dataset_version_id})
        job = client.jobs.wait(job.id)
        client.artifacts.download_all(client.jobs.get(job.id), "results/")
"""

from api.client.connection import Client
from api.client.failures import (
    ApiProblem,
    ClientError,
    DownloadRefused,
    IncompleteImport,
    InvalidAddress,
    JobNotSucceeded,
    NoSuchDataset,
    ServerUnreachable,
    SourceRefused,
    UnexpectedAnswer,
    UploadFailed,
    WaitTimeout,
)
from api.client.imports import Imported
from api.client.records import (
    Artifact,
    Asset,
    AuditEntry,
    ClassCount,
    Dataset,
    Delivery,
    Erasure,
    Event,
    Group,
    Image,
    Job,
    Key,
    Model,
    NewKey,
    NewWebhook,
    Progress,
    Upload,
    Version,
    Webhook,
)
from api.client.transport import RetryPolicy

__all__ = [
    "ApiProblem",
    "Artifact",
    "Asset",
    "AuditEntry",
    "ClassCount",
    "Client",
    "ClientError",
    "Dataset",
    "Delivery",
    "DownloadRefused",
    "Erasure",
    "Event",
    "Group",
    "Image",
    "Imported",
    "IncompleteImport",
    "InvalidAddress",
    "Job",
    "JobNotSucceeded",
    "Key",
    "Model",
    "NewKey",
    "NewWebhook",
    "NoSuchDataset",
    "Progress",
    "RetryPolicy",
    "ServerUnreachable",
    "SourceRefused",
    "UnexpectedAnswer",
    "Upload",
    "UploadFailed",
    "Version",
    "WaitTimeout",
    "Webhook",
]
