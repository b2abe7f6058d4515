"""From a disk to frames: deployments and their chapters, their metadata, sampling, and reading of damaged video."""
