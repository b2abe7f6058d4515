"""A folder a digit of drawn handwriting."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from data.synth.handwriting import Hand, write_digit


def draw_digits(folder: Path, count: int = 14, height: int = 40) -> None:
    """`count` pictures of each of the ten digits, every one in another hand."""
    rng = np.random.default_rng(0)
    for value in range(10):
        (folder / str(value)).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(
                str(folder / str(value) / f"{number}.png"), write_digit(value, Hand.draw(rng), rng, height=height)
            )
