"""Render the underwater footage of `shankha demo`: an invented deployment, its metadata, and the truth about it.

    uv run scripts/draw_footage.py

The same files come out every time. One deployment of two chapters, as a GoPro writes them: the fish of the first
chapter swim on in the second.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from data.files import write_text
from data.preprocess import Image
from data.synth.footage import ClipSpec, ClipTruth, FishTruth, Stock, TrueMaxN, render_clip, write_video

DEMO = Path(__file__).resolve().parents[1] / "apps/fish/examples/demo"
OPCODE = "INVENTED-01"
CHAPTERS = ("GX010001.MP4", "GX020001.MP4")
SEED = 5
QUALITY = 24
SPEC = ClipSpec(
    name=OPCODE,
    seconds=20,
    stocks=(
        Stock(species="bream", individuals=5),
        Stock(species="trevally", individuals=3, school=True),
        Stock(species="drummer", individuals=2),
    ),
    roaming=2.2,
    farthest_m=3.2,
    turbidity=0.15,
    snow=60,
    seagrass=2,
    rocks=1,
    noise=2,
)
METADATA = f"""opcode,campaignid,site,location,status,latitude_dd,longitude_dd,depth_m,date_time,period_start
{OPCODE},invented,Made-up Meadow,nowhere,open,-16.75,145.9,6.5,2026-03-14T09:30:00,0
"""


def render(folder: Path) -> ClipTruth:
    """Write the chapters; the truth about both, as one clip."""
    rows: list[FishTruth] = []

    def frames() -> Iterator[Image]:
        for frame, fish in render_clip(SPEC, SEED):
            rows.extend(fish)
            yield frame

    running = frames()
    for chapter in CHAPTERS:
        part = itertools.islice(running, SPEC.frames // len(CHAPTERS))
        write_video(folder / chapter, part, SPEC.fps, "hevc", QUALITY)
    return ClipTruth.of(rows, SPEC.names, SPEC.frames, SPEC.fps)


def truth_table(truth: ClipTruth) -> str:
    """A row a species, and one for all fish: MaxN, where it is first reached, and how many individuals are seen."""
    individuals = truth.individuals()
    lines = ["opcode,species,maxn,filename,frame,individuals\n"]
    for best in (*truth.max_n(), truth.max_n_together()):
        seen = individuals.get(best.species, sum(individuals.values()))
        lines.append(f"{OPCODE},{best.species},{best.count},{_place(best)},{seen}\n")
    return "".join(lines)


def _place(best: TrueMaxN) -> str:
    if best.frame is None:
        return ","
    chapter, frame = divmod(best.frame, SPEC.frames // len(CHAPTERS))
    return f"{CHAPTERS[chapter]},{frame}"


def main() -> None:
    """Render everything anew."""
    truth = render(DEMO / OPCODE)
    write_text(DEMO / "metadata.csv", METADATA)
    write_text(DEMO / "truth.csv", truth_table(truth))


if __name__ == "__main__":
    main()
