"""What decoders of this service may cost."""

from __future__ import annotations

from core.config import Settings
from core.ingest.decoder import DecoderLimits


def decoder_limits(settings: Settings) -> DecoderLimits:
    """Return what one file may cost a decoder, by the settings."""
    return DecoderLimits(
        memory_bytes=settings.max_decoder_bytes,
        cpu_seconds=settings.max_decoder_cpu_seconds,
        seconds=settings.max_decoder_seconds,
    )
