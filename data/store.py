"""The folder of datasets: filled from the web or from a local mirror, each dataset whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, ValidationError

from data.archive import is_archive, unpack_into
from data.catalogue import Dataset, RemoteFile, Sha256
from data.download import Retries, Tick, check_space, download
from data.errors import FileAccessError, InputError
from data.files import sha256_of, write_text
from data.stored import StoredFile, files_below, listed

MANIFEST: Final = "shankha-data.json"
FOLDER_VARIABLE: Final = "SHANKHA_DATA"
_DOWNLOADS: Final = ".downloads"

Watch = Callable[[str], Tick]
"""Makes the listener for one step of the work, given what the step is called."""


class Origin(BaseModel):
    """A file that was fetched or taken from a mirror, before unpacking."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    source: str
    bytes: int
    sha256: Sha256
    known: bool
    """Whether the catalogue knew the hash; else it is the hash that was found."""


class Manifest(BaseModel):
    """What a dataset's folder holds, and where it came from; kept in it as `shankha-data.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    dataset: str
    obtained: datetime
    origins: tuple[Origin, ...]
    files: tuple[StoredFile, ...]


@dataclass(frozen=True)
class Obtained:
    """A dataset's folder after `obtain`; `fresh` where it was filled just now."""

    folder: Path
    manifest: Manifest
    fresh: bool


def default_root() -> Path:
    """Where datasets are kept: the folder in SHANKHA_DATA, else `datasets` in the user's data folder."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_data_path("shankha") / "datasets"


def unwatched(_step: str) -> Tick:
    """A `Watch` that listens to nothing."""
    return lambda _done, _total: None


def obtain(
    dataset: Dataset,
    root: Path,
    *,
    mirror: Path | None = None,
    watch: Watch = unwatched,
    retries: Retries | None = None,
) -> Obtained:
    """Fill `root/area/name`: fetch or copy, check hashes, unpack, and put the whole folder in its place at once.

    What was fetched stays in `root/.downloads` until the folder is whole, so that a second call goes on from there.

    Args:
        dataset: What to get.
        root: The folder of all datasets.
        mirror: A folder that holds the files already, here or in `area/name` below; nothing is fetched then.
        watch: Hears of progress.
        retries: How often broken connections are tried again.

    Raises:
        FileAccessError: It needs an account, cannot be reached, is not in the mirror, or the folder cannot be filled.
        InputError: A file has another hash or length than it must have, or is no sound archive.
    """
    folder = root / dataset.folder
    present = _present(folder)
    if present:
        return Obtained(folder, present, fresh=False)
    if mirror is None and dataset.access != "free":
        cure = f"{dataset.how.rstrip('.')}; then run `shankha data get {dataset.name} --from FOLDER`"
        raise FileAccessError(dataset.name, f"cannot be fetched by a program (access: {dataset.access})", cure=cure)
    downloads = root / _DOWNLOADS / dataset.name
    taken = _from_mirror(dataset, mirror) if mirror else _from_web(dataset, downloads, watch, retries)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{dataset.name}-"))
    try:
        staging.chmod(0o755)
        origins = tuple(_place(one, staging, watch) for one in taken)
        manifest = Manifest(
            dataset=dataset.name,
            obtained=datetime.now(UTC).replace(microsecond=0),
            origins=origins,
            files=listed(staging, MANIFEST, watch("hashing")),
        )
        write_text(staging / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
        if folder.exists():
            folder.rmdir()  # it is empty, as was checked
        staging.replace(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    shutil.rmtree(downloads, ignore_errors=True)
    return Obtained(folder, manifest, fresh=True)


def _present(folder: Path) -> Manifest | None:
    """The manifest of a folder that was filled before; None where there is nothing yet."""
    if (folder / MANIFEST).is_file():
        return read_manifest(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = "exists already, and was not filled by `shankha data get`"
        raise FileAccessError(folder, found, cure="choose another folder with --to, or move this one away")
    return None


def read_manifest(folder: Path) -> Manifest:
    """The folder's manifest; raises InputError where it is damaged, FileAccessError where it cannot be read."""
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        cure = "move the folder away and get the dataset again"
        raise InputError(path, "is no manifest of a dataset", cure=cure) from error
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror or error})") from error


@dataclass(frozen=True)
class _Taken:
    """A file that lies on this machine, on its way into the dataset's folder."""

    path: Path
    name: str
    source: str
    known: RemoteFile | None
    ours: bool
    """Whether it may be moved: a download may, a mirror's file may not."""


def _from_web(dataset: Dataset, downloads: Path, watch: Watch, retries: Retries | None) -> list[_Taken]:
    taken = []
    for file in dataset.files:
        path = downloads / file.name
        # A file that is there whole came with an earlier call, which failed at a later file.
        if not path.exists():
            size = file.bytes if file.verified else None
            download(file.address, path, sha256=file.sha256, size=size, tick=watch(file.name), retries=retries)
        taken.append(_Taken(path, file.name, file.address, file, ours=True))
    return taken


def _from_mirror(dataset: Dataset, mirror: Path) -> list[_Taken]:
    if not mirror.is_dir():
        raise FileAccessError(mirror, "is no folder", cure="give the folder that holds the files after --from")
    below = [mirror / dataset.folder, mirror / dataset.name]
    place = next((folder for folder in below if folder.is_dir()), mirror)
    if not dataset.files:
        names = [path.relative_to(place).as_posix() for path in files_below(place, MANIFEST)]
        if not names:
            raise InputError(place, "holds no files", expected=f"the files of {dataset.name}")
        return [_Taken(place / name, name, str(place / name), None, ours=False) for name in names]
    absent = [file.name for file in dataset.files if not (place / file.name).is_file()]
    if absent:
        raise InputError(place, f"has no {', '.join(absent)}", expected=f"the files of {dataset.name}")
    return [_Taken(place / file.name, file.name, str(place / file.name), file, ours=False) for file in dataset.files]


def _place(taken: _Taken, staging: Path, watch: Watch) -> Origin:
    """Put the file, or what is packed in it, into the staging folder."""
    known = taken.known.sha256 if taken.known else None
    found = sha256_of(taken.path)
    if known is not None and found != known:
        cure = "fetch the file again"
        raise InputError(taken.path, f"has the hash {found}", expected=known, cure=cure)
    size = taken.path.stat().st_size
    if is_archive(taken.path) and "/" not in taken.name:
        unpack_into(taken.path, staging, tick=watch(f"unpacking {taken.name}"))
    else:
        _put(taken, staging / taken.name, size)
    return Origin(name=taken.name, source=taken.source, bytes=size, sha256=found, known=known is not None)


def _put(taken: _Taken, target: Path, size: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise InputError(taken.path, "is in another of the dataset's archives too", cure="fetch the files again")
    if taken.ours:
        try:
            target.hardlink_to(taken.path)
        except OSError:  # a disk without hard links
            shutil.copyfile(taken.path, target)
        return
    check_space(target.parent, size)
    shutil.copyfile(taken.path, target)
