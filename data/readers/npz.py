"""Digit sets that come as NumPy archives: CMATERdb 3.1.1, and NumtaDB as packed into one file."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.errors import ArgumentError, InputError
from data.preprocess import Image, Polarity
from data.readers.archives import digit_labels, pictures, read_npz
from data.readers.digitset import ArrayImages, DigitSet, Problem

CMATERDB_TRAIN: Final = "training-images.npz"
CMATERDB_TEST: Final = "testing-images.npz"


def read_cmaterdb(folder: Path, split: str | None = None, *, copies: bool = False) -> DigitSet:
    """CMATERdb 3.1.1: dark ink on white, 32 x 32, tight crops.

    Test images that are exact copies of training images are found by their pixels, left out and listed.

    Args:
        folder: Holds `training-images.npz` and `testing-images.npz`, arrays `images` and `labels`.
        split: "train" or "test"; None means test.
        copies: Keep those test images all the same, as someone wants who looks at the dataset itself.

    Raises:
        ArgumentError: There is no such split.
        InputError: A file is missing, damaged or not what it should be.
    """
    if split not in {None, "train", "test"}:
        raise ArgumentError("--split", f"CMATERdb has no split {split!r}", expected="train or test")
    # The test set needs the training file too: without it copies would pass for new images.
    training = _cmaterdb_part(folder / CMATERDB_TRAIN)
    if split == "train":
        return training
    test = _cmaterdb_part(folder / CMATERDB_TEST)
    return test if copies else _without_copies(test, training)


def _cmaterdb_part(path: Path) -> DigitSet:
    if not path.is_file():
        raise InputError(path, "is missing", expected=f"{CMATERDB_TRAIN} and {CMATERDB_TEST} in one folder")
    arrays = read_npz(path, ("images", "labels"))
    images = pictures(arrays["images"], path)
    return _array_set(path, images, digit_labels(arrays["labels"], path), np.full(len(images), "cmaterdb"), "dark")


def _without_copies(test: DigitSet, training: DigitSet) -> DigitSet:
    first_seen: dict[bytes, str] = {}
    for index, name in enumerate(training.names):
        first_seen.setdefault(_fingerprint(training.read(index)), str(name))
    originals = [first_seen.get(_fingerprint(test.read(index))) for index in range(len(test))]
    copies = tuple(
        Problem(str(name), f"is an exact copy of {original}")
        for name, original in zip(test.names, originals, strict=True)
        if original
    )
    kept = test.select(np.array([original is None for original in originals], np.bool_))
    return replace(kept, left_out=copies)


def _fingerprint(image: Image) -> bytes:
    return hashlib.sha256(str(image.shape).encode() + image.tobytes()).digest()


def read_numtadb_npz(path: Path, split: str | None = None) -> DigitSet:
    """NumtaDB in one archive: light ink on black, 28 x 28, thresholded; arrays `x`, `y` and `source`.

    Args:
        path: The archive.
        split: One of the sources in it ("a", "b", ...); None means all.

    Raises:
        ArgumentError: There is no such source.
        InputError: The file is damaged or not what it should be.
    """
    arrays = read_npz(path, ("x", "y", "source"))
    letters = arrays["source"].astype(np.str_)
    digits = _array_set(
        path,
        pictures(arrays["x"], path),
        digit_labels(arrays["y"], path),
        np.char.add("numtadb-", letters),
        "light",
    )
    if split is None:
        return digits
    if split not in set(letters.tolist()):
        known = ", ".join(sorted(set(letters.tolist())))
        raise ArgumentError("--split", f"{path.name} has no source {split!r}", expected=f"one of {known}")
    return digits.select(digits.sources == f"numtadb-{split}")


def _array_set(
    path: Path, images: Image, labels: NDArray[np.int64], sources: NDArray[np.str_], polarity: Polarity
) -> DigitSet:
    names = np.array([f"{path.name}#{index}" for index in range(len(labels))], np.str_)
    sound = (labels >= 0) & (labels <= 9)
    problems = tuple(
        Problem(str(name), f"its label is {label}, not a digit from 0 to 9")
        for name, label in zip(names[~sound], labels[~sound], strict=True)
    )
    kept = np.flatnonzero(sound)
    return DigitSet(
        path.parent.name,
        labels=labels[kept],
        sources=sources[kept],
        groups=sources[kept],
        names=names[kept],
        places=kept,
        images=ArrayImages(images),
        polarity=polarity,
        problems=problems,
    )
