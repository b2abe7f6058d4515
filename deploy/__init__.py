"""From a trained run to an artifact (torch), and from an artifact to answers (no torch)."""
