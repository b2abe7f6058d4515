"""Make the README's pictures from a real run of the demo: a page as photographed, and what was read on it.

uv run scripts/draw_pictures.py
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import cv2

from apps.demo import read_forms
from data.files import write_bytes
from data.images import read_image

PICTURES = Path(__file__).resolve().parents[1] / "docs/pictures"
PAGE = "photograph"
HEIGHT = 1100
JPEG_QUALITY = 82


def shrink(source: Path, target: Path) -> None:
    """Write the picture `HEIGHT` pixels high."""
    picture = read_image(source)
    scale = HEIGHT / picture.shape[0]
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    write_bytes(target, cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())


def main() -> None:
    """Run the demo and keep two of its pictures."""
    with TemporaryDirectory() as folder:
        read_forms(Path(folder))
        (overlay,) = (Path(folder) / "digits/results/pages").glob(f"{PAGE}-*.jpg")
        shrink(Path(folder) / f"digits/scans/{PAGE}.jpg", PICTURES / "page.jpg")
        shrink(overlay, PICTURES / "overlay.jpg")


if __name__ == "__main__":
    main()
