"""DIVE's own JSON, version 2: tracks, each with its features by frame.

Written are dive.json and the pictures in images/, or the one video that all pictures are frames of. DIVE tells frames
by number alone, in the order of the pictures' names; the attribute `picture` of a feature says its name too.

Source: https://kitware.github.io/dive/DataFormats, "DIVE Annotation JSON".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from data.curation.collection import Collection, Provenance
from data.curation.exchange.format import Format, Library, Spoken, check_kind
from data.curation.exchange.gathering import Draft, Finder, Gathered, Said, confidence, provenance
from data.curation.exchange.jsonfile import read_json, write_json
from data.curation.exchange.sequence import (
    CONFIDENCE,
    PICTURE,
    Frames,
    Media,
    Seen,
    copy_media,
    media_of,
    places_of,
    said_of,
    seen_in,
    track_of,
)
from data.curation.exchange.tracks import Sides, between
from data.curation.exchange.viame import best_pair, check_names, outlines_of
from data.errors import InputError
from data.readers.digitset import Problem

FILE: Final = "dive.json"
VERSION: Final = 2
_EXPECTED: Final = "DIVE's JSON with tracks, groups and version"
speaks: Final = Spoken(
    FILE, ".json", re.compile(rb'"(tracks|trackId)"\s*:'), re.compile(rb'"(annotations|categories|images)"\s*:')
)
_Json = Mapping[str, Any]


def read(path: Path, library: Library | None = None) -> Collection:
    """The pictures of DIVE's JSON, or of a folder with it; see `Reader`.

    Of a folder with pictures all are taken, of a file alone those that have a label. Where a feature is to be
    interpolated, the boxes of the frames up to the next one lie on the line between the two.
    """
    file = speaks.file(path)
    gathered = Gathered(file)
    frames = Frames(path, file, Finder(file.parent, library), gathered)
    tracks = _tracks(file)
    shift = int(any(track.get("id", track.get("trackId")) == 0 for _, track in tracks))
    for where, track in tracks:
        _take_track(frames, track, f"{file.name}: track {where}", shift)
    return frames.collection()


def _tracks(file: Path) -> list[tuple[str, _Json]]:
    """Every track by its name; in version 1 they are all that the file holds."""
    tree = read_json(file, _EXPECTED)
    told = tree.get("version", 1) if isinstance(tree, dict) else None
    if told not in {1, VERSION}:
        raise InputError(file, f"is of version {told}" if told else "is no JSON of DIVE", expected=_EXPECTED)
    tracks = tree.get("tracks") if told == VERSION else tree
    if not isinstance(tracks, dict) or not all(isinstance(track, dict) for track in tracks.values()):
        raise InputError(file, "holds no tracks", expected=_EXPECTED)
    return sorted(tracks.items(), key=lambda one: (len(one[0]), one[0]))


def _take_track(frames: Frames, track: _Json, where: str, shift: int) -> None:
    number = track.get("id", track.get("trackId"))
    features = _features(track, where, frames.gathered.problems)
    pairs = [pair for pair in track.get("confidencePairs") or () if isinstance(pair, list) and len(pair) == 2]
    name, sure = best_pair([(one, told) for one, told in pairs], where, frames.gathered.problems)
    if not name or not features:
        frames.gathered.problems.append(Problem(where, "names no species" if features else "has no features"))
        return
    moving = len(features) > 1 and type(number) is int
    own = number + shift if moving and isinstance(number, int) else 0
    source = Provenance(kind="source", name=frames.file.stem)
    for frame, feature in features.items():
        attributes = {**_dict(track.get("attributes")), **_dict(feature.get("attributes"))}
        by = provenance(attributes, source)
        own_sure = confidence(attributes.get(CONFIDENCE), where, frames.gathered.problems)
        told_sure = own_sure if own_sure is not None or sure == 1 else sure
        said = Said(by, told_sure, track_of(attributes, own, moving))
        told = str(attributes.get(PICTURE, ""))
        if draft := frames.at(frame, told, where):
            _take_feature(draft, f"{where}, frame {frame}", name, feature, said)
    boxes = {frame: sides for frame, feature in features.items() if (sides := _sides(feature))}
    filled = {frame for frame, feature in features.items() if feature.get("interpolate") is True}
    try:
        for frame, sides in between(boxes, filled):
            if draft := frames.at(frame, "", where):
                draft.add_box(f"{where}, frame {frame}", name, sides, Said(source, None, own))
    except ValueError as error:
        frames.gathered.problems.append(Problem(where, str(error)))


def _features(track: _Json, where: str, problems: list[Problem]) -> dict[int, _Json]:
    """The features by frame."""
    found: dict[int, _Json] = {}
    told = track.get("features")
    for feature in told if isinstance(told, list) else []:
        frame = feature.get("frame") if isinstance(feature, dict) else None
        if type(frame) is not int or frame < 0 or frame in found:
            problems.append(Problem(where, f"has a feature at frame {frame}: it is left out"))
        else:
            found[frame] = feature
    return found


def _take_feature(draft: Draft, where: str, name: str, feature: _Json, said: Said) -> None:
    sides = _sides(feature)
    outlines, holes = [], 0
    for geometry in _geometries(feature):
        rings = geometry.get("coordinates")
        if geometry.get("type") == "Polygon" and isinstance(rings, list) and rings:
            outlines.append(_flat(rings[0]))
            holes += len(rings) - 1
    if holes:
        draft.problems.append(Problem(where, f"has {holes} holes, which are filled"))
    if outlines:
        draft.add_outline(where, name, outlines, said, sides)
    elif sides is None:
        draft.refuse(where, "has no box of four numbers")
    else:
        draft.add_box(where, name, sides, said)


def _geometries(feature: _Json) -> Iterator[_Json]:
    for one in _dict(feature.get("geometry")).get("features") or ():
        yield _dict(_dict(one).get("geometry"))


def _flat(ring: object) -> list[float]:
    """The corners of a ring in one list, without the last where it repeats the first; not finite where none are."""
    try:
        corners = [(float(x), float(y)) for x, y in ring]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return [float("nan")] * 6
    corners = corners[:-1] if len(corners) > 1 and corners[0] == corners[-1] else corners
    return [number for corner in corners for number in corner]


def _sides(feature: _Json) -> Sides | None:
    bounds = feature.get("bounds")
    numbers = [one for one in bounds if type(one) in {int, float}] if isinstance(bounds, list) else []
    if len(numbers) != 4:
        return None
    return float(numbers[0]), float(numbers[1]), float(numbers[2]), float(numbers[3])


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def write(collection: Collection, folder: Path) -> None:
    """Write dive.json and the pictures in images/, or their video; see `Format.write`."""
    check_kind(collection, FORMAT)
    check_names(collection)
    media = media_of(collection)
    copy_media(collection, media, folder)
    tracks: dict[int, list[Seen]] = {}
    for seen in seen_in(collection, media):
        tracks.setdefault(seen.number, []).append(seen)
    told = {str(number): _track(seen, media) for number, seen in sorted(tracks.items())}
    write_json(folder / FILE, {"version": VERSION, "tracks": told, "groups": {}})


def _track(seen: Sequence[Seen], media: Media) -> dict[str, Any]:
    """A track as sure as the surest of its labels; each feature tells its own confidence."""
    sure = max(1.0 if one.label.confidence is None else one.label.confidence for one in seen)
    return {
        "id": seen[0].number,
        "meta": {},
        "attributes": {},
        "confidencePairs": [[seen[0].label.name, round(sure, 6)]],
        "begin": seen[0].frame,
        "end": seen[-1].frame,
        "features": [_feature(one, media.places[one.picture.id].name) for one in seen],
    }


def _feature(seen: Seen, picture: str) -> dict[str, Any]:
    label = seen.label
    assert label.xyxy is not None  # noqa: S101 - check_kind
    attributes = {**said_of(label), PICTURE: picture}
    feature: dict[str, Any] = {"frame": seen.frame, "bounds": [round(side, 2) for side in label.xyxy.tolist()]}
    feature |= {"keyframe": True, "interpolate": False, "attributes": attributes}
    polygons = [{"type": "Polygon", "coordinates": [_ring(one)]} for one in outlines_of(label)]
    if polygons:
        shapes = [{"type": "Feature", "properties": {"key": ""}, "geometry": polygon} for polygon in polygons]
        feature["geometry"] = {"type": "FeatureCollection", "features": shapes}
    return feature


def _ring(outline: Sequence[float]) -> list[list[float]]:
    """Corners of a closed ring: the last is the first."""
    corners = [[x, y] for x, y in zip(outline[::2], outline[1::2], strict=True)]
    return [*corners, corners[0]]


FORMAT: Final = Format("dive", frozenset({"detection", "segmentation"}), read, write, places_of, speaks)
