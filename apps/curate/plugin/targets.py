"""Which labels a person means: the boxes selected, else the picture that is open, else the pictures selected."""

from __future__ import annotations

from typing import Any, Final

from apps.curate.fields import INFO, TRUTH
from apps.curate.plugin.edits import Target
from data.provenance import WHOLE_PICTURE

FRAMES: Final = "frames."


def has_boxes(dataset: Any) -> bool:
    """Whether the labels of a dataset are boxes or outlines in its pictures."""
    told = dataset.info.get(INFO, {}).get("kind")
    if told is not None:
        return told not in WHOLE_PICTURE
    held = dataset.get_field(TRUTH) or dataset.get_field(FRAMES + TRUTH)
    return getattr(getattr(held, "document_type", None), "__name__", "") == "Detections"


def meant(ctx: Any) -> tuple[Target, ...]:
    """The labels that are meant, in the order of the selection; pictures as a whole where no boxes are.

    Args:
        ctx: The context that FiftyOne runs an operator in. In views of boxes (patches), what is selected are boxes.
    """
    boxes = [label for label in ctx.selected_labels if label["field"].removeprefix(FRAMES) == TRUTH]
    if boxes and has_boxes(ctx.dataset):
        origin = _origins(ctx.view, list(dict.fromkeys(box["sample_id"] for box in boxes)))
        return tuple(_selected(box, *origin.get(box["sample_id"], (box["sample_id"], 0))) for box in boxes)
    chosen = [ctx.current_sample] if ctx.current_sample else list(ctx.selected)
    if getattr(ctx.view, "_is_patches", False):
        return tuple(target for one in ctx.view.select(chosen, ordered=True) for target in _of_patch(one))
    origin = _origins(ctx.view, chosen)
    return tuple(dict.fromkeys(Target(origin.get(one, (one, 0))[0]) for one in chosen))


def predicted(ctx: Any) -> tuple[str, tuple[Target, ...]]:
    """The boxes of a prediction that are selected, and its field: the first of several, "" where there is none."""
    chosen = [label for label in ctx.selected_labels if label["field"].removeprefix(FRAMES) != TRUTH]
    if not chosen:
        return "", ()
    first = chosen[0]["field"]
    origin = _origins(ctx.view, list(dict.fromkeys(label["sample_id"] for label in chosen)))
    return first.removeprefix(FRAMES), tuple(
        _selected(label, *origin.get(label["sample_id"], (label["sample_id"], 0)))
        for label in chosen
        if label["field"] == first
    )


def pictures(ctx: Any) -> list[str]:
    """Ids of the samples that are meant."""
    return list(dict.fromkeys(target.sample for target in meant(ctx)))


def every_box(ctx: Any, targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """Pictures replaced by the boxes that the view shows in them; videos, whose boxes are in frames, stay."""
    whole = [target.sample for target in targets if not target.box]
    if not whole or ctx.dataset.media_type == "video":
        return targets
    shown = ctx.dataset if ctx.view is None or ctx.view._is_generated else ctx.view
    ids, boxes = shown.select(whole).values(["id", f"{TRUTH}.detections.id"])
    inside = dict(zip(ids, boxes, strict=True))
    found: list[Target] = []
    for target in targets:
        if target.box:
            found.append(target)
        else:
            found += [Target(target.sample, box) for box in inside.get(target.sample) or ()]
    return tuple(found)


def _selected(box: dict[str, Any], sample: str, frame: int) -> Target:
    return Target(sample, box["label_id"], box.get("frame_number") or frame)


def _of_patch(patch: Any) -> list[Target]:
    """The boxes that a sample of a view of patches shows; the picture around it where it shows none of the truth."""
    shown = patch[TRUTH] if patch.has_field(TRUTH) else None
    boxes = getattr(shown, "detections", [shown] if shown is not None else [])
    frame = patch["frame_number"] if patch.has_field("frame_number") else 0
    return [Target(patch["sample_id"], box.id, frame) for box in boxes] or [Target(patch["sample_id"])]


def _origins(view: Any, ids: list[str]) -> dict[str, tuple[str, int]]:
    """For samples of a view of patches, clips or frames the samples they were made of, and their frames."""
    if not getattr(view, "_is_generated", False):
        return {}
    made = view.select(ids)
    frames = made.values("frame_number") if made.has_field("frame_number") else [0] * len(ids)
    return {
        one: (sample, frame or 0)
        for one, sample, frame in zip(made.values("id"), made.values("sample_id"), frames, strict=True)
    }
