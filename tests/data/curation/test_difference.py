from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.curation.collection import Kind, Label, Picture
from data.curation.difference import changes, diff
from data.curation.folder import write_version
from tests.data.curation.made import ASHA, SOURCE, collection


def box(left: float, name: str = "fish", top: float = 2) -> Label:
    return Label(name, SOURCE, np.array([left, top, left + 10, top + 10], np.float32))


def picture(*labels: Label) -> Picture:
    return Picture("a", Path("a"), (200, 50), labels)


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        ((), (), []),
        ((box(5),), (box(5),), []),
        ((box(5),), (box(5.02),), []),
        ((box(5),), (box(7),), ["box"]),
        ((box(5),), (box(5, "shark"),), ["class"]),
        ((box(5),), (box(7, "shark"),), ["class", "box"]),
        ((box(5),), (box(50),), ["removed", "added"]),
        ((box(5), box(50)), (box(50), box(5)), []),
        ((box(5), box(50)), (box(50),), ["removed"]),
        ((), (box(1), box(30)), ["added", "added"]),
        ((box(5), box(7, "shark")), (box(5, "shark"), box(7, "shark")), ["class"]),
        ((Label("3", SOURCE),), (Label("8", ASHA),), ["class"]),
        ((Label("3", SOURCE),), (Label("3", ASHA),), ["speaker"]),
        ((), (Label("3", ASHA),), ["added"]),
        ((Label("3", SOURCE),), (), ["removed"]),
    ],
)
def test_what_changed_of_labels(before: tuple[Label, ...], after: tuple[Label, ...], kinds: list[str]) -> None:
    assert [change.kind for change in changes(picture(*before), picture(*after))] == kinds


@given(st.lists(st.floats(0, 180, width=32), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_labels_is_no_change(places: list[float], chance: object) -> None:
    labels = [box(left) for left in places]
    shuffled = list(labels)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert changes(picture(*labels), picture(*shuffled)) == ()


@pytest.mark.parametrize(("kind", "target_format"), [("species", "classes"), ("detection", "yolo")])
def test_everything_between_two_versions(kind: Kind, target_format: str, tmp_path: Path) -> None:
    first = collection(kind, tmp_path / "source")
    one = write_version(first, tmp_path / "set", target_format).folder
    right = Label(first.names[1], ASHA, None if kind == "species" else np.array([1, 1, 30, 30], np.float32))
    pictures = list(first.pictures)
    pictures[0] = replace(pictures[0], labels=(right,))
    pictures[3] = replace(pictures[3], part="test")
    pictures[4] = replace(pictures[4], group="elsewhere")
    gone = pictures.pop(6)
    extra = tmp_path / "source" / "new.png"
    cv2.imwrite(str(extra), np.zeros((8, 9, 3), np.uint8))
    own = (Label(first.names[0], ASHA),) if kind == "species" else ()
    pictures.append(Picture("new.png", extra, (9, 8), own, "train"))
    cv2.imwrite(str(pictures[1].path), np.zeros((40, 48, 3), np.uint8))
    other = write_version(replace(first, pictures=tuple(pictures)), tmp_path / "set", target_format).folder
    found = diff(one, other)
    assert found
    assert [one.id for one in found.added] == ["new.png"]
    assert [one.id for one in found.removed] == [gone.id]
    assert [(one.id, one.before, one.after) for one in found.moved] == [(pictures[3].id, "val", "test")]
    assert [one.id for one in found.regrouped] == [pictures[4].id]
    assert found.repainted == (pictures[1].id,)
    (change,) = found.changes
    assert (change.id, change.by) == (pictures[0].id, ASHA)
    assert change.kind == ("class" if kind == "species" else "added")
    assert change.told() == ("Rubra longa to Nigra" if kind == "species" else "nothing to shark")
    assert not diff(one, one)
    back = diff(other, one)
    assert ([one.id for one in back.added], [one.id for one in back.removed]) == ([gone.id], ["new.png"])
