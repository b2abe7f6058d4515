"""What the fields of a dataset in FiftyOne are called: one sample a picture (or video) of a collection.

`TRUTH` and the fields of predictions hold a Classification for kinds of whole pictures, else Detections. Every label
carries `BY_KIND`, `BY_NAME`, `BY_WHEN`: its `data.curation.collection.Provenance`. A field of predictions is named by
`prediction_field`.
"""

from __future__ import annotations

import re
from typing import Final

TRUTH: Final = "ground_truth"
"""What is held to be right: it is what an export writes."""
ITEM: Final = "item"
"""`Picture.id`."""
PART: Final = "part"
GROUP: Final = "group"
COMPLETE: Final = "complete"

BY_KIND: Final = "by_kind"
BY_NAME: Final = "by_name"
BY_WHEN: Final = "by_when"
TRACK: Final = "track"
WINDOW: Final = "window"
"""Left, top, width, height of a mask's window less those of its box, in pixels: a mask follows a box that is moved."""

DOUBT: Final = "doubt"
"""0 to 1: how likely the label in `TRUTH` is wrong."""
SUGGESTED: Final = "suggested"
"""The class that a doubtful label should rather be."""
FAULT: Final = "fault"
"""Of a box: what speaks against it, see `apps.curate.doubt`; of a predicted one "missed" where no box is."""
REASON: Final = "reason"
"""Why a person sent a picture to be labelled anew."""
HARDNESS: Final = "hardness"
UNIQUENESS: Final = "uniqueness"
REPRESENTATIVENESS: Final = "representativeness"
DUPLICATE_OF: Final = "duplicate_of"
"""`ITEM` of the first picture that this one repeats, exactly or nearly; absent for all others."""
LEAK: Final = "leak"
"""Whether it repeats, or shares its group with, a picture of another part."""
BRIGHTNESS: Final = "brightness"
"""Mean grey level, 0 to 1."""
NEXT: Final = "next"
"""Rank, from 1, among the pictures to label next."""

ILLEGIBLE: Final = "illegible"
RELABEL: Final = "relabel"
ACCEPTED: Final = "accepted"
CORRECTED: Final = "corrected"
CHOSEN: Final = "next training set"
TAGS: Final = (ILLEGIBLE, RELABEL, ACCEPTED, CORRECTED, CHOSEN)
"""Tags that a person leaves on samples."""

SIMILARITY: Final = "looks"
"""Brain key of the search by similar pictures."""
MAP: Final = "map"
"""Brain key of the two-dimensional map of embeddings."""

PROBLEM: Final = "problem"
"""Why a picture cannot be read; absent for all others."""

INFO: Final = "shankha"
"""Key of the dataset's `info`: what the dataset was opened from."""
MODELS: Final = "shankha_models"
"""Key of the dataset's `info`: by field of predictions, which artifact they come from."""

DEPLOYMENT: Final = "deployment"
SITE: Final = "site"
VIDEO: Final = "video"
"""The chapter file, by its path from the disk of footage on; in a dataset of videos the file that was surveyed."""
VIDEO_FRAME: Final = "video_frame"
"""Number of the frame in its file, from 0."""
SECONDS: Final = "seconds"
"""Since the start of the deployment's footage."""
SPECIES: Final = "species"
"""Of a label: the name that a fish was given, where the label only says that it is one."""
WHY: Final = "why"
"""Why a frame was taken out of a video: `MAXN_FRAME` and the species, or `UNSURE_FRAME`."""
MAXN_FRAME: Final = "MaxN"
UNSURE_FRAME: Final = "unsure"
MAXN: Final = "maxn"
"""Of a video: where in it the MaxN of each species is, and how many they are; of species whose MaxN is in this file."""
COUNTS: Final = "counts"
"""Of a video: the MaxN of its deployment, of each species that was seen, and the second of the period."""

CROP: Final = "crop"
"""Of a cell of a form: its picture as it stands on the page, with printed lines and what is written around it."""
STATE: Final = "state"
"""Of a cell of a form: digit, blank, struck or doubtful."""
RUNNER_UP: Final = "runner_up"
RUNNER_UP_CONFIDENCE: Final = "runner_up_confidence"
NOTE: Final = "note"
FORM: Final = "form"
"""The scanned file."""
PAGE: Final = "page"
FIELD: Final = "field"
POSITION: Final = "position"


def prediction_field(model: str) -> str:
    """The field for what a model said: "digits-int8" -> "digits_int8"; a digit in front gets "model_" before it."""
    name = re.sub(r"\W+", "_", model).strip("_").lower() or "model"
    return name if name[0].isalpha() and name not in {TRUTH, ITEM, PART} else f"model_{name}"
