from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.errors import InputError
from data.masks import area
from deploy.packing import write_artifact
from deploy.runtime.detector import FishDetector
from deploy.runtime.segmenter import FishSegmenter
from deploy.runtime.spec import MODEL_FILE
from tests.conftest import ROOT
from tests.deploy.bright import CELL, bright_artifact, frame, spec
from tests.deploy.outlined import half_bright, outlined_artifact


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> FishSegmenter:
    return FishSegmenter(outlined_artifact(tmp_path_factory.mktemp("outlined")))


def test_it_outlines_what_is_there(segmenter: FishSegmenter) -> None:
    one, none, two = segmenter.segment([half_bright((1, 2)), frame(), half_bright((4, 0), (0, 3))])
    assert [len(seen) for seen in (one, none, two)] == [1, 0, 2]
    (mask,) = one.masks
    # Bright for 12 pixels; the edge is read from prototypes of four pixels, between their middles.
    assert (mask.left, mask.top, mask.inside.shape[0]) == (CELL, 2 * CELL, CELL)
    assert mask.inside.shape[1] == pytest.approx(13, abs=1)
    assert area(mask) >= 0.98 * mask.inside.size
    assert one.detections.xyxy.tolist() == [[CELL, 2 * CELL, 2 * CELL, 3 * CELL]]
    assert segmenter.names == ("fish",)


def test_masks_are_in_pixels_of_the_frame(segmenter: FishSegmenter) -> None:
    large = np.repeat(np.repeat(half_bright((1, 2)), 4, axis=0), 4, axis=1)
    (seen,) = segmenter.segment([large])
    (mask,) = seen.masks
    assert (mask.left, mask.top, mask.inside.shape[0]) == (4 * CELL, 8 * CELL, 4 * CELL)
    assert mask.inside.shape[1] == pytest.approx(4 * 13, abs=4)
    tall = np.zeros((400, 96, 3), np.uint8)  # padded at the sides
    tall[168:232] = 255
    (seen,) = segmenter.segment([tall])
    assert seen.masks
    assert all((mask.xyxy[:2] >= 0).all() and (mask.xyxy[2:] <= [96, 400]).all() for mask in seen.masks)


def test_batches_change_nothing(segmenter: FishSegmenter) -> None:
    frames = [half_bright((number % 6, number % 4)) for number in range(19)]
    alone = [segmenter.segment([image])[0] for image in frames]
    for one, other in zip(segmenter.segment(frames), alone, strict=True):
        assert one.masks == other.masks
        assert one.detections.xyxy.tolist() == other.detections.xyxy.tolist()
    assert segmenter.segment([]) == []


def test_boxes_without_a_pixel_are_nothing(segmenter: FishSegmenter) -> None:
    # Bright enough for a box of low score, too dark for any pixel of a mask.
    (seen,) = segmenter.segment([frame((2, 2), brightness=62)])
    assert len(seen) == 0
    assert len(seen.detections) == 0


def test_the_chosen_keep_their_masks(segmenter: FishSegmenter) -> None:
    (seen,) = segmenter.segment([half_bright((4, 0), (0, 3), (2, 2))])
    chosen = seen.select(np.array([2, 0]))
    assert chosen.masks == (seen.masks[2], seen.masks[0])
    assert chosen.detections.xyxy.tolist() == seen.detections.xyxy[[2, 0]].tolist()
    assert len(seen.select(np.zeros(3, np.bool_))) == 0


def test_what_is_no_frame_is_refused(segmenter: FishSegmenter) -> None:
    with pytest.raises(InputError, match=r"frame 1: is uint8 of shape \(4, 4\)"):
        segmenter.segment([frame(), np.zeros((4, 4), np.uint8)])


def test_a_detector_is_no_segmenter_nor_the_other_way(segmenter: FishSegmenter, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="task is 'detection'; expected segmentation"):
        FishSegmenter(bright_artifact(tmp_path))
    with pytest.raises(InputError, match="task is 'segmentation'; expected detection"):
        FishDetector(segmenter.artifact)


def test_a_network_without_masks_is_refused(tmp_path: Path) -> None:
    plain = bright_artifact(tmp_path)
    own = {"task": "segmentation", "prototypes": 2, "mask_stride": 4}
    liar = write_artifact(tmp_path / "liar", spec(**own), {MODEL_FILE: plain.model})
    with pytest.raises(InputError, match="prototypes"):
        FishSegmenter(liar)


def test_the_runtime_needs_no_torch() -> None:
    code = "import sys, deploy.runtime.segmenter; print(sorted({'torch', 'training'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
