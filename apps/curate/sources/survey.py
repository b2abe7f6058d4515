"""The results of `shankha fish survey` in FiftyOne: videos with all that was seen in them, and frames to correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from apps.curate.fields import prediction_field
from apps.curate.samples import Tick
from apps.curate.sources import ABOUT
from apps.curate.sources.footage import check_same, disks_of, find_chapter, is_playable, write_playable
from apps.curate.sources.framed import Framed, frame_dataset, framed
from apps.curate.sources.ledger import LedgerFacts, read_ledger, unfinished
from apps.curate.sources.review import Decision, decisions_of, settle
from apps.curate.sources.stills import UNSURE, choose, still_name, write_stills
from apps.curate.sources.survey_files import Chapter, Surveyed, opcode_of, read_surveyed
from apps.curate.sources.videos import add_video, end_videos, video_dataset
from apps.curate.sources.writing import refuse_taken, whole_datasets
from data.errors import InputError, ShankhaError
from data.readers.digitset import Problem

if TYPE_CHECKING:
    import fiftyone as fo

FRAMES: Final = "frames"
"""What the name of the dataset of frames ends with."""
COPIES: Final = "copies"
STILLS: Final = "stills"


@dataclass(frozen=True)
class SurveyOptions:
    """How a survey is opened.

    Attributes:
        folder: Where the pictures of frames and the copies of videos are kept, of this survey alone.
        footage: The disk that was surveyed; None looks around the results.
        copies: Whether videos that browsers do not play are copied as such that they do.
        unsure: How many frames of each deployment that the models are unsure of.
    """

    folder: Path
    footage: Path | None = None
    copies: bool = False
    unsure: int = UNSURE


@dataclass(frozen=True)
class OpenedSurvey:
    """The datasets of a survey: videos and frames, None where there is not one, and what could not be shown."""

    videos: fo.Dataset | None
    frames: fo.Dataset | None
    problems: tuple[Problem, ...]


def open_survey(results: Path, name: str, options: SurveyOptions, tick: Tick | None = None) -> OpenedSurvey:
    """Put the results of a survey into FiftyOne: a dataset of videos called `name`, one of frames "`name` frames".

    Videos stay where they are. What was seen in each looked-at frame is a label of that frame, in the field of the
    detector's predictions. The dataset of frames holds in `TRUTH` what was counted, to be corrected, and beside it all
    that the detector said.

    Args:
        results: The folder of results.
        name: Of the dataset.
        options: How.
        tick: Hears how many of the deployments are done.

    Raises:
        ArgumentError: There is a dataset of that name.
        FileAccessError: A survey is running, or the folder for pictures cannot be written.
        InputError: There is not one deployment that can be read.
    """
    refuse_taken(name, f"{name} {FRAMES}")
    facts = read_ledger(results)
    decisions, problems = decisions_of(results)
    opening = _Opening(results, name, options, [*unfinished(results), *problems])
    folders = [path.parent for path in sorted(results.glob(f"*/{ABOUT}"))]
    with whole_datasets(opening.made):
        for done, folder in enumerate(folders, 1):
            opening.take(folder, facts, decisions)
            if tick:
                tick(done, len(folders))
        if not opening.taken:
            first = f" ({opening.problems[0].name}: {opening.problems[0].why})" if opening.problems else ""
            raise InputError(results, f"holds no deployment that can be shown{first}", cure="survey the footage again")
        return opening.end()


@dataclass
class _Opening:
    """A survey while it is opened, deployment by deployment: of one that is done only its frames stay in memory."""

    results: Path
    name: str
    options: SurveyOptions
    problems: list[Problem]
    taken: int = 0
    made: list[fo.Dataset] = field(default_factory=list)
    frames: list[Framed] = field(default_factory=list)

    def take(self, folder: Path, facts: LedgerFacts | None, decisions: Sequence[Decision]) -> None:
        """Show one deployment; what is wrong with it becomes problems."""
        try:
            if facts is not None and opcode_of(folder) not in facts.whole:
                raise InputError(folder, "was not written to its end", cure="run the same survey command again")
            surveyed, faults = read_surveyed(folder, facts.marks if facts else {})
            surveyed = settle(surveyed, decisions)
        except ShankhaError as error:
            self.problems.append(Problem.of(error))
            return
        self.problems += faults
        files = self._files(surveyed)
        for number, path in files.items():
            self._show(surveyed, number, path)
        chosen = choose(surveyed, self.options.unsure)
        stills, missing = write_stills(surveyed, chosen, files, self.options.folder / STILLS)
        self.problems += missing
        self.frames += [framed(surveyed, one) for one in stills]
        self.taken += 1

    def end(self) -> OpenedSurvey:
        """The datasets, once every deployment is taken."""
        videos = self.made[0] if self.made else None
        if videos is not None:
            end_videos(videos)
        frames = frame_dataset(self.frames, f"{self.name} {FRAMES}") if self.frames else None
        return OpenedSurvey(videos, frames, tuple(dict.fromkeys(self.problems)))

    def _files(self, surveyed: Surveyed) -> dict[int, Path]:
        """The video files of a deployment, by chapter, that are there and as they were surveyed."""
        disks = disks_of(self.results, self.options.footage)
        files = {}
        for number, (chapter, mark) in enumerate(zip(surveyed.about.chapters, surveyed.marks, strict=True)):
            path = find_chapter(chapter.label, disks)
            if path is None:
                where = self.options.footage or "the folders around the results"
                why = f"the video is not in {where}: of its frames those are shown that the results have pictures of"
                self.problems.append(Problem(chapter.label, f"{why}; give the disk that was surveyed, as --footage"))
                continue
            try:
                check_same(path, chapter, mark)
            except ShankhaError as error:
                self.problems.append(Problem(chapter.label, f"{error.found}: its labels would not fit"))
                continue
            files[number] = path
        return files

    def _show(self, surveyed: Surveyed, number: int, path: Path) -> None:
        if not self.made:
            self.made.append(video_dataset(self.name))
        shown = self._playable(surveyed.about.chapters[number], path)
        field_name = prediction_field(surveyed.about.detector)
        self.problems += add_video(self.made[0], surveyed, number, shown, field_name)

    def _playable(self, chapter: Chapter, path: Path) -> Path:
        """The file that is shown: the surveyed one, or a copy that browsers play."""
        if is_playable(chapter):
            return path
        if not self.options.copies:
            codec = chapter.account.codec if chapter.account else "the codec"
            why = f"browsers do not play {codec}: its labels can be seen, its pictures not; open it with --copies"
            self.problems.append(Problem(chapter.label, why))
            return path
        target = (self.options.folder / COPIES / still_name(chapter, 0)).parent.with_suffix(".mp4")
        try:
            write_playable(path, target)
        except InputError as error:
            self.problems.append(Problem.of(error, chapter.label))
            return path
        return target
