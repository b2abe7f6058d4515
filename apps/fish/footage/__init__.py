"""From a disk to frames: deployments and their chapters, their metadata, sampling, and reading of damaged video."""

from apps.fish.footage.deployments import Chapter, Deployment, find_deployments
from apps.fish.footage.frames import ChapterAccount, ResumePoint
from apps.fish.footage.metadata import DeploymentMetadata
from apps.fish.footage.problems import FootageProblem
from apps.fish.footage.reading import ChapterReader
from apps.fish.footage.sampling import Sampling, parse_sampling
from data.footage.video import SampledFrame

__all__ = [
    "Chapter",
    "ChapterAccount",
    "ChapterReader",
    "Deployment",
    "DeploymentMetadata",
    "FootageProblem",
    "ResumePoint",
    "SampledFrame",
    "Sampling",
    "find_deployments",
    "parse_sampling",
]
