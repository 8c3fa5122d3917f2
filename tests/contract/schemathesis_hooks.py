"""Teaches schemathesis the media type of upload chunks."""

import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
