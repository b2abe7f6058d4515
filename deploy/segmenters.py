"""What the export of networks that outline objects needs beyond that of detectors; everything else is shared."""

from __future__ import annotations

from typing import Any, Final

from torch import nn

from data.readers import DetectionSet
from deploy.detectors import Finder, Seen
from deploy.parity import MaskParity
from deploy.runtime.artifact import Artifact
from deploy.runtime.looking import BATCH
from deploy.runtime.segmenter import FishSegmenter, Segmented
from deploy.runtime.spec import ArtifactSpec, Graph, segmenter_graph
from models.segmenter import MASK_STRIDE, Segmenter
from training.recipe import SceneRecipe

_LIMITS: Final = """\
- It was trained on luderick and bream in the seagrass of one estuary, before fixed cameras. Other species in view are
  left out on purpose where they look different, and sometimes outlined where they do not.
- Bream were too rare to learn (33 outlines): it found none of those at a new site. It is a model of luderick.
- An outline is read from a map with a pixel for every four of the network's input: fins and tails of small fish are
  rounded off, and a fish behind blades of seagrass is outlined as one piece.
- Areas and lengths are in pixels of the frame. They become centimetres only with a scale for the fish's own distance.
- int8 and float32 networks differ by a few fish near the threshold: use one of them for a whole survey."""


def segment_all(segmenter: FishSegmenter, pictures: DetectionSet) -> list[Segmented]:
    """What a segmenter outlines in every picture of a set."""
    found: list[Segmented] = []
    for start in range(0, len(pictures), BATCH):
        found += segmenter.segment([pictures.read(i) for i in range(start, min(len(pictures), start + BATCH))])
    return found


def _looked(artifact: Artifact[ArtifactSpec], pictures: DetectionSet) -> Seen:
    seen = segment_all(FishSegmenter(artifact), pictures)
    return Seen([one.detections for one in seen], [one.masks for one in seen])


def _own_spec(network: nn.Module) -> dict[str, Any]:
    if not isinstance(network, Segmenter):
        raise TypeError("only a Segmenter outlines")
    return {"prototypes": network.prototypes, "mask_stride": MASK_STRIDE}


def _graph(recipe: SceneRecipe, network: nn.Module, labels: int) -> Graph:
    own = _own_spec(network)
    return segmenter_graph(recipe.preprocessing, labels, own["prototypes"], own["mask_stride"])


MASKS: Final = Finder(
    graph=_graph,
    spec=_own_spec,
    look=_looked,
    parity=MaskParity,
    noun="masks",
    summary="Outlines fish of the species that it learnt in frames of underwater footage.",
    answer="boxes and masks in pixels of the frame, each with a calibrated probability and a name",
    use="""\
Outlining and counting the fish of a few species in underwater video that is watched by a person or checked on a sample;
areas, outlines and lengths in pixels.""",
    limits=_LIMITS,
)
