"""Label Studio: tasks as JSON, and its short form JSON-MIN to read.

Written are tasks.json, to import into a project; label_config.xml, the project's labelling interface; and the pictures
in images/. Label Studio serves them where its LOCAL_FILES_DOCUMENT_ROOT is the folder and images/ is added as local
storage. What a network said of a picture alone goes to `predictions`, with the score; all else to `annotations`. Who
said something, and the track, stand in the `meta` of each region, and what else we know of a picture in the task's
`data`. Places are in percent of the picture.

Source: https://labelstud.io/guide/task_format, /guide/predictions and /tags.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from numpy.typing import NDArray

from data.curation.collection import WHOLE_PICTURE, Collection, Kind, Label, Part, Picture, Provenance
from data.curation.exchange import brush
from data.curation.exchange.coco import places_of
from data.curation.exchange.format import Format, Library, Spoken, check_kind
from data.curation.exchange.gathering import (
    BY,
    TRACK_ID,
    Draft,
    Finder,
    Gathered,
    Said,
    attributes_of,
    confidence,
    provenance,
)
from data.curation.exchange.jsonfile import read_json, write_json
from data.curation.exchange.places import copy_pictures
from data.curation.exchange.times import utc
from data.curation.exchange.xml import read_xml, write_xml
from data.errors import InputError, ShankhaError
from data.images import IMAGE_SUFFIXES
from data.masks import polygons, without_holes
from data.readers.digitset import Problem
from data.rle import rle

FILE: Final = "tasks.json"
CONFIG: Final = "label_config.xml"
_SERVED: Final = "/data/local-files/?d="
_UPLOAD: Final = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of a picture that was uploaded."""
_IMAGE_KEYS: Final = ("image", "img", "ocr")
_PARTS: Final[Mapping[str, Part]] = {"train": "train", "val": "val", "test": "test"}
_EXPECTED: Final = "a list of tasks, as Label Studio exports them as JSON or JSON-MIN"
_CONFIDENCE: Final = "confidence"
_RECTANGLE: Final = ("x", "y", "width", "height")
_FOLDER: Final = re.compile(r"(?:^|&)d=([^&]*)")
_OWN: Final = frozenset({"item", "part", "group", "complete", "tags"})
"""Keys of a task's data that we write."""
_SHORT_KEYS: Final = frozenset({"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"})
_SIGN: Final = rb'^\s*\[\s*\{[^\0]*?"(data|annotations|predictions|annotator|annotation_id|[a-z]+labels)"\s*:'
speaks: Final = Spoken(FILE, ".json", re.compile(_SIGN))
_Json = Mapping[str, Any]


def read(path: Path, library: Library | None = None) -> Collection:
    """The pictures of a file of tasks, or of a folder with tasks.json; see `Reader`.

    Of a task's annotations the newest that was not skipped is taken, of a task without any the newest prediction. A
    task of which nobody has said anything is left out and listed.
    """
    file = speaks.file(path)
    tasks = read_json(file, _EXPECTED)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(file, "is no list of tasks", expected=_EXPECTED)
    gathered = Gathered(file)
    finder = Finder(file.parent, library)
    for number, task in enumerate(tasks):
        where = f"{file.name}: task[{number}]"
        try:
            _take_task(gathered, finder, task if "data" in task else _from_short(task), where)
        except ShankhaError as error:
            gathered.problems.append(Problem(where, f"{error.where} {error.found}"))
    return gathered.collection(_names(file.parent))


def _names(folder: Path) -> list[str]:
    """The classes of the labelling interface, where it lies beside the tasks."""
    try:
        config = read_xml(folder / CONFIG, "View")
    except ShankhaError:
        return []
    return [name for one in config.iter() if one.tag in {"Label", "Choice"} and (name := one.get("value"))]


def _take_task(gathered: Gathered, finder: Finder, task: _Json, where: str) -> None:
    data = task["data"] if isinstance(task["data"], dict) else {}
    names = _picture_names(data)
    said = _newest(task.get("annotations") or task.get("completions"), where, gathered.problems)
    speaker = _person(said) if said else None
    if said is None:
        said = _newest(task.get("predictions"), where, [])
        speaker = _model(said) if said else None
    if said is None or speaker is None:
        raise InputError(names[0], "has been labelled by nobody")
    regions = _regions(said.get("result"))
    picture = _picture(finder, names, data, _told_size(regions))
    draft = Draft(picture, gathered.problems)
    for number, region in enumerate(regions):
        place = f"{where} {picture.id}, region[{number}]"
        try:
            _take_region(draft, place, region, _said(region, said, speaker, place, gathered.problems))
        except ValueError as error:
            draft.refuse(place, str(error))
    gathered.add(draft.finished())


def _picture_names(data: _Json) -> list[str]:
    """What a task calls its picture, as paths, the likeliest first; raises InputError where it names none."""
    keys = [*(key for key in _IMAGE_KEYS if key in data), *data]
    texts = [data[key] for key in keys if isinstance(data[key], str) and _is_picture(data[key])]
    if not texts:
        raise InputError("data", "names no picture", expected=" or ".join(_IMAGE_KEYS))
    path = _path_of(texts[0])
    name = PurePosixPath(path).name
    if "/data/upload/" in f"/{path}":
        return [name, _UPLOAD.sub("", name)]
    return [path, *([_UPLOAD.sub("", name)] if _UPLOAD.match(name) else [])]


def _is_picture(text: str) -> bool:
    return PurePosixPath(_path_of(text)).suffix.lower() in IMAGE_SUFFIXES


def _path_of(address: str) -> str:
    """The path of an address, from the folder that is served on."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    served = _FOLDER.search(parts.query) if parts.path.endswith("local-files/") else None
    path = served[1] if served else parts.path if parts.scheme or served else address.partition("?")[0]
    return unquote(path).lstrip("/")


def _newest(spoken: object, where: str, problems: list[Problem]) -> _Json | None:
    """The newest of several annotations or predictions that hold something."""
    known = [one for one in spoken if isinstance(one, dict)] if isinstance(spoken, list) else []
    known = [one for one in known if not one.get("was_cancelled") and isinstance(one.get("result"), list)]
    if len(known) > 1:
        problems.append(Problem(where, f"has {len(known)} annotations: the newest is taken"))
    return max(known, key=lambda one: utc(one.get("updated_at") or one.get("created_at")), default=None)


def _person(annotation: _Json) -> Provenance:
    told = annotation.get("completed_by")
    if isinstance(told, dict):
        told = told.get("email") or told.get("username") or told.get("id")
    when = utc(annotation.get("updated_at") or annotation.get("created_at"))
    if told in {None, ""}:
        return Provenance(kind="source", name="Label Studio", when=when)
    return Provenance(kind="person", name=f"user {told}" if isinstance(told, int) else str(told), when=when)


def _model(prediction: _Json) -> Provenance:
    when = utc(prediction.get("updated_at") or prediction.get("created_at"))
    return Provenance(kind="model", name=str(prediction.get("model_version") or "Label Studio"), when=when)


def _regions(results: object) -> list[dict[str, Any]]:
    """The results of an annotation, those of one region joined: place and label may come apart."""
    found: dict[object, dict[str, Any]] = {}
    for number, result in enumerate(results if isinstance(results, list) else []):
        if isinstance(result, dict) and isinstance(result.get("value"), dict):
            key = result.get("id")
            known = found.setdefault(key if isinstance(key, str) else number, {"value": {}})
            value = {**known["value"], **result["value"]}
            known |= {**result, "value": value}
    return list(found.values())


def _told_size(regions: Sequence[_Json]) -> tuple[int, int] | None:
    sizes = [(region.get("original_width"), region.get("original_height")) for region in regions]
    return next(((w, h) for w, h in sizes if isinstance(w, int) and isinstance(h, int)), None)


def _picture(finder: Finder, names: Sequence[str], data: _Json, told_wh: tuple[int, int] | None) -> Picture:
    item = data.get("item")
    for name in names[:-1]:
        try:
            finder.find(name)
        except InputError:
            continue
        names = [name]
        break
    picture = finder.picture(names[-1], item if isinstance(item, str) else "", told_wh)
    tags = data.get("tags")
    return replace(
        picture,
        part=_PARTS.get(str(data.get("part")), ""),
        group=str(data.get("group") or ""),
        complete=finder.library is not None or data.get("complete") is not False,
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
    )


def _said(region: _Json, spoken: _Json, speaker: Provenance, where: str, problems: list[Problem]) -> Said:
    meta = region["meta"] if isinstance(region.get("meta"), dict) else {}
    whole = None if BY[0] in meta else spoken.get("score")  # the mean of the scores, where we wrote it
    scores = (region.get("score"), meta.get(_CONFIDENCE), whole)
    told = next((score for score in scores if score is not None), None)
    track = meta.get(TRACK_ID)
    return Said(
        provenance(meta, speaker), confidence(told, where, problems), track if type(track) is int and track > 0 else 0
    )


def _take_region(draft: Draft, where: str, region: _Json, said: Said) -> None:
    """Take one region; raises ValueError where it holds what is no number."""
    value = region["value"]
    told = [value[key] for key in value if key.endswith("labels") or key == "choices"]
    names = [name for one in told if isinstance(one, list) for name in one if isinstance(name, str)]
    if not names:
        draft.refuse(where, f"is of type {region.get('type')!r} without a label, which is not read")
        return
    if len(set(names)) > 1:
        draft.problems.append(Problem(where, f"has the labels {', '.join(names)}: the first is taken"))
    size_wh = draft.picture.size_wh
    if "points" in value:
        corners = _in_pixels(_numbers(value["points"]), size_wh)
        draft.add_outline(where, names[0], [corners.ravel().tolist()], said)
    elif "rle" in value:
        mask = brush.unpacked(value["rle"], size_wh)
        draft.add_outline(where, names[0], rle(mask, size_wh), said)
    elif set(_RECTANGLE) <= set(value):
        _take_rectangle(draft, where, names[0], value, said)
    elif "choices" in value:
        draft.add_whole(where, names[0], said)
    else:
        draft.refuse(where, f"is of type {region.get('type')!r}, which is not read")


def _take_rectangle(draft: Draft, where: str, name: str, value: _Json, said: Said) -> None:
    x, y, width, height, turned = _numbers([value.get(key) for key in _RECTANGLE] + [value.get("rotation") or 0], 1)
    corners = _in_pixels(np.array([[x, y], [x + width, y + height]]), draft.picture.size_wh)
    if turned % 360:
        draft.problems.append(Problem(where, f"is turned by {turned:g} degrees: the upright box around it is taken"))
        sides = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (corners[1] - corners[0])
        sine, cosine = np.sin(np.radians(turned)), np.cos(np.radians(turned))
        turning = np.array([[cosine, sine], [-sine, cosine]])  # clockwise, about the upper left corner
        corners = corners[0] + sides @ turning
        corners = np.stack([corners.min(axis=0), corners.max(axis=0)])
    draft.add_box(where, name, corners.ravel().tolist(), said)


def _numbers(values: object, axes: int = 2) -> NDArray[np.float64]:
    """Numbers, or pairs of numbers; raises ValueError where they are none."""
    try:
        numbers = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError("holds what is no number") from error
    if numbers.ndim != axes or (axes == 2 and numbers.shape[1] != 2):
        raise ValueError("holds no corners of two numbers each")
    return numbers


def _in_pixels(percent: NDArray[np.float64], size_wh: tuple[int, int]) -> NDArray[np.float64]:
    return np.asarray(percent * np.array(size_wh) / 100)


def _from_short(task: _Json) -> _Json:
    """A task of JSON-MIN, which mixes data and what was said, as a task with an annotation."""
    results: list[dict[str, Any]] = []
    data = {key: value for key, value in task.items() if key in _OWN or (isinstance(value, str) and _is_picture(value))}
    for key, value in task.items():
        if key in data or key in _SHORT_KEYS:
            continue
        if isinstance(value, str):
            results.append({"type": "choices", "value": {"choices": [value]}})
        elif isinstance(value, dict):
            results.append({"type": "choices", "value": value})
        elif isinstance(value, list):
            regions = [region for region in value if isinstance(region, dict)]
            results += [{**region, "type": key, "value": region} for region in regions]
    spoken = {"completed_by": task.get("annotator"), "result": results}
    return {"data": data, "annotations": [spoken | {key: task.get(key) for key in ("created_at", "updated_at")}]}


def write(collection: Collection, folder: Path) -> None:
    """Write tasks.json, label_config.xml and images/; see `Format.write`."""
    check_kind(collection, FORMAT)
    places = places_of(collection)
    copy_pictures(collection.pictures, places, folder)
    tasks = [_task(picture, places[picture.id], collection.kind) for picture in collection.pictures]
    write_json(folder / FILE, tasks)
    write_xml(folder / CONFIG, _config(collection), declared=False)


def _task(picture: Picture, place: PurePosixPath, kind: Kind) -> dict[str, Any]:
    data: dict[str, Any] = {"image": f"{_SERVED}{quote(place.as_posix())}", "item": picture.id}
    data |= {key: text for key, text in (("part", picture.part), ("group", picture.group)) if text}
    data |= {"complete": picture.complete, "tags": list(picture.tags)}
    results = [_result(label, picture.size_wh, f"r{number}") for number, label in enumerate(picture.labels, 1)]
    if results and all(label.by.kind == "model" for label in picture.labels):
        sure = [label.confidence for label in picture.labels if label.confidence is not None]
        told = {"model_version": picture.labels[0].by.name, "result": results}
        return {"data": data, "predictions": [told | ({"score": round(sum(sure) / len(sure), 6)} if sure else {})]}
    if not results and kind in WHOLE_PICTURE:
        return {"data": data}
    return {"data": data, "annotations": [{"result": results}]}


def _result(label: Label, size_wh: tuple[int, int], name: str) -> dict[str, Any]:
    meta: dict[str, Any] = dict(attributes_of(label))
    told: dict[str, Any] = {"id": name, "to_name": "image", "original_width": size_wh[0], "original_height": size_wh[1]}
    told |= {"image_rotation": 0, **_region(label, size_wh)}
    if label.confidence is not None:
        told["score"] = meta[_CONFIDENCE] = round(label.confidence, 6)
    if label.track:
        meta[TRACK_ID] = label.track
    return {**told, "meta": meta}


def _region(label: Label, size_wh: tuple[int, int]) -> dict[str, Any]:
    """Type, name of the tag and value of a result."""
    percent = 100 / np.array(size_wh, np.float64)
    if label.xyxy is None:
        return {"type": "choices", "from_name": "choice", "value": {"choices": [label.name]}}
    if label.mask is None:
        x, y, right, bottom = (label.xyxy.astype(np.float64).reshape(2, 2) * percent).ravel().tolist()
        sides = {"x": x, "y": y, "width": right - x, "height": bottom - y, "rotation": 0}
        return {"type": "rectanglelabels", "from_name": "box", "value": {**sides, "rectanglelabels": [label.name]}}
    parts = polygons(label.mask)
    if len(parts) == 1 and without_holes(label.mask) == label.mask:
        points = (parts[0] * percent).tolist()
        outline = {"points": points, "closed": True, "polygonlabels": [label.name]}
        return {"type": "polygonlabels", "from_name": "polygon", "value": outline}
    strokes = {"format": "rle", "rle": brush.packed(label.mask, size_wh), "brushlabels": [label.name]}
    return {"type": "brushlabels", "from_name": "brush", "value": strokes}


def _config(collection: Collection) -> Element:
    """The labelling interface: a tag for each way in which this kind is labelled."""
    root = Element("View")
    SubElement(root, "Image", {"name": "image", "value": "$image", "zoom": "true"})
    tags = {"box": "RectangleLabels"}
    if collection.kind in WHOLE_PICTURE:
        tags = {"choice": "Choices"}
    elif collection.kind == "segmentation":
        tags |= {"polygon": "PolygonLabels", "brush": "BrushLabels"}
    for name, tag in tags.items():
        labels = SubElement(root, tag, {"name": name, "toName": "image"})
        for value in collection.names:
            SubElement(labels, "Choice" if tag == "Choices" else "Label", {"value": value})
    return root


FORMAT: Final = Format(
    "label-studio", frozenset({"digits", "species", "detection", "segmentation"}), read, write, places_of, speaks
)
