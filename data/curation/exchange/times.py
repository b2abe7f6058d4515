"""Times as other tools write them."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(text: object) -> str:
    """A time in ISO 8601 as `Provenance.when` has it, taken as UTC where it tells no zone; "" where it is none."""
    try:
        told = datetime.fromisoformat(str(text).strip())
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return ""
