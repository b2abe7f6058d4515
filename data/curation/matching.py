"""Which known picture each picture of a person's tool is."""

from __future__ import annotations

from dataclasses import dataclass

from data.curation.collection import Collection, Picture
from data.curation.exchange.format import Library
from data.errors import InputError, ShankhaError
from data.files import sha256_of
from data.readers.digitset import Problem


@dataclass(frozen=True)
class Matched:
    """Pairs of a picture of the tool and the known one, each known one at most once; and those that found none."""

    pairs: tuple[tuple[Picture, Picture], ...]
    problems: tuple[Problem, ...]


def match(said: Collection, library: Library) -> Matched:
    """Find each picture among those known: by its id, else by its content, else by its name.

    Two pictures of one name in two folders are never taken for one another: a name that may mean both finds neither,
    unless the picture itself lies with the labels, and then its content tells. A name whose file has another content
    than the known one's finds nothing.
    """
    pairs: dict[str, tuple[Picture, Picture]] = {}
    problems = []
    for picture in said.pictures:
        try:
            known = _known(picture, library)
            if known.size_wh != picture.size_wh:
                sizes = "{} x {} pixels, not {} x {}".format(*picture.size_wh, *known.size_wh)
                raise InputError(picture.id, f"is of {sizes} as in the dataset")
            if known.id in pairs:
                raise InputError(picture.id, f"is {known.id}, which {pairs[known.id][0].id} is already")
            pairs[known.id] = (picture, known)
        except ShankhaError as error:
            problems.append(Problem.of(error, picture.id))
    return Matched(tuple(pairs.values()), tuple(problems))


def _known(picture: Picture, library: Library) -> Picture:
    by_id = library.with_id(picture.id)
    if by_id is not None and by_id.path == picture.path:
        return by_id
    alike = library.same(picture.path)
    if len(alike) == 1:
        return alike[0]
    named = (by_id,) if by_id else library.find(picture.id)
    both = [one for one in alike if one in named] if alike else list(named)
    if len(both) == 1 and (alike or sha256_of(both[0].path) == sha256_of(picture.path)):
        return both[0]
    if len(both) == 1:
        raise InputError(picture.id, f"is called like {both[0].id}, but is another picture")
    meant = both or alike
    raise InputError(picture.id, f"may be {meant[0].id} or {meant[1].id}" if meant else "is no picture of the dataset")
