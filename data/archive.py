"""Unpacking of archives that are not trusted: nothing leaves the folder, and a folder is never half unpacked."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Final

from data.download import Tick, check_space
from data.errors import FileAccessError, InputError, ShankhaError

_CHUNK: Final = 1 << 18
_TAR_SUFFIXES: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_DAMAGE: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    UnicodeError,
    ValueError,
)


@dataclass(frozen=True)
class Limits:
    """How much an archive may grow: to so many bytes and files, and beyond `small_bytes` to `ratio` times its size."""

    total_bytes: int = 1_000_000_000_000
    files: int = 5_000_000
    ratio: float = 200.0
    small_bytes: int = 200_000_000


@dataclass
class _Unpacking:
    """What one unpacking has written so far, held against its limits."""

    archive: Path
    root: Path
    limits: Limits
    tick: Tick | None
    written: int = 0
    names: set[PurePosixPath] = field(default_factory=set)

    def write(self, name: PurePosixPath, source: IO[bytes]) -> None:
        if name in self.names:
            raise _refused(self.archive, f"holds {str(name)!r} twice")
        self.names.add(name)
        if len(self.names) > self.limits.files:
            raise _refused(self.archive, f"holds more than {self.limits.files:,} files")
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as stream:
            while chunk := source.read(_CHUNK):
                self.written += len(chunk)
                self.check(self.written)
                stream.write(chunk)
                if self.tick:
                    self.tick(self.written, None)

    def check(self, total: int) -> None:
        """Refuse an archive that unpacks to so many bytes, if they are more than any sound dataset has."""
        grown = total / max(1, self.archive.stat().st_size)
        if total > self.limits.total_bytes or (total > self.limits.small_bytes and grown > self.limits.ratio):
            raise _refused(self.archive, f"unpacks to {total:,} bytes or more, {grown:,.0f} times its own size")


def is_archive(path: Path) -> bool:
    """Whether `unpack` takes files of this name: zip and tar, plain or compressed with gzip, bzip2 or xz."""
    return path.name.lower().endswith((".zip", *_TAR_SUFFIXES))


def unpack(archive: Path, folder: Path, *, limits: Limits | None = None, tick: Tick | None = None) -> None:
    """Unpack into a new folder: all of it, or, where anything is wrong, nothing.

    Links are replaced by copies of what they lead to inside the archive.

    Args:
        archive: A zip or tar file.
        folder: It must not exist, or be empty.
        limits: How much it may grow.
        tick: Hears how many bytes are unpacked.

    Raises:
        InputError: The archive is damaged, encrypted, grows beyond the limits, or holds absolute paths, paths or links
            that lead out, devices, or one name twice.
        FileAccessError: The archive cannot be read, or the folder not be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileAccessError(folder, "exists already", cure="choose another folder, or remove this one")
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        staging.chmod(0o755)
        unpack_into(archive, staging, limits=limits, tick=tick)
        staging.replace(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def unpack_into(archive: Path, folder: Path, *, limits: Limits | None = None, tick: Tick | None = None) -> None:
    """As `unpack`, into a folder that may hold other files; where it fails, what was unpacked so far stays."""
    if not is_archive(archive):
        raise InputError(archive, "is no archive that can be unpacked", expected=f".zip, {', '.join(_TAR_SUFFIXES)}")
    unpacking = _Unpacking(archive, folder, limits or Limits(), tick)
    try:
        if archive.name.lower().endswith(".zip"):
            _unpack_zip(unpacking)
        else:
            _unpack_tar(unpacking)
    except ShankhaError:
        raise
    except _DAMAGE as error:
        raise _refused(archive, f"is damaged or cut short ({error})") from error
    except FileExistsError as error:
        raise _refused(archive, f"holds {error.filename}, which is there already") from error
    except RuntimeError as error:  # zipfile's word for a password
        raise _refused(archive, f"is locked ({error})") from error
    except OSError as error:
        if error.errno is None:  # a decompressor's word for damage
            raise _refused(archive, f"is damaged or cut short ({error})") from error
        found = f"cannot be unpacked ({error.strerror or error})"
        raise FileAccessError(archive, found, cure="check the permissions and the free space") from error


def _refused(archive: Path, found: str) -> InputError:
    return InputError(archive, found, cure="fetch it again from a source you trust")


def _inside(archive: Path, name: str, base: PurePosixPath | None = None) -> PurePosixPath:
    """The path below the folder that a name, or a link's target seen from `base`, stands for."""
    path = PurePosixPath(name)
    if path.is_absolute() or "\\" in name or "\0" in name or ":" in name.partition("/")[0]:
        raise _refused(archive, f"holds the path {name!r}, which leads out of its folder")
    parts: list[str] = list(base.parts) if base else []
    for part in path.parts:
        if part != "..":
            parts.append(part)
        elif parts and base:
            parts.pop()
        else:
            raise _refused(archive, f"holds the path {name!r}, which leads out of its folder")
    return PurePosixPath(*parts)


def _unpack_zip(unpacking: _Unpacking) -> None:
    archive = unpacking.archive
    with zipfile.ZipFile(archive) as bundle:
        members = bundle.infolist()
        total = sum(member.file_size for member in members)
        unpacking.check(total)
        check_space(unpacking.root, total)
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise _refused(archive, f"holds {member.filename!r}, which is neither a file nor a folder")
            name = _inside(archive, member.filename)
            if member.is_dir():
                (unpacking.root / name).mkdir(parents=True, exist_ok=True)
                continue
            with bundle.open(member) as source:
                unpacking.write(name, source)


def _unpack_tar(unpacking: _Unpacking) -> None:
    archive = unpacking.archive
    links: dict[PurePosixPath, PurePosixPath] = {}
    if archive.name.lower().endswith(".tar"):
        check_space(unpacking.root, archive.stat().st_size)
    with tarfile.open(archive, mode="r:*") as bundle:
        for member in bundle:
            name = _inside(archive, member.name)
            if member.isdir():
                (unpacking.root / name).mkdir(parents=True, exist_ok=True)
            elif member.issym():
                links[name] = _inside(archive, member.linkname, name.parent)
            elif member.islnk():
                links[name] = _inside(archive, member.linkname)
            elif member.isreg():
                source = bundle.extractfile(member)
                assert source is not None  # noqa: S101 - a regular file always has content
                unpacking.write(name, source)
            else:
                raise _refused(archive, f"holds {member.name!r}, which is neither a file nor a folder")
        _check_end(archive, bundle)
    for name, leads_to in links.items():
        _copy_link(unpacking, name, leads_to, links)


def _check_end(archive: Path, bundle: tarfile.TarFile) -> None:
    """Refuse an archive cut off between two members, which tarfile takes for its end, and one with a wrong sum."""
    stream = bundle.fileobj
    if stream is None or stream.tell() < bundle.offset + tarfile.BLOCKSIZE:
        raise _refused(archive, "is damaged or cut short (the mark of its end is missing)")
    stream.read(_CHUNK)  # the padding after the mark; the decompressor checks its sum behind it


def _copy_link(
    unpacking: _Unpacking, name: PurePosixPath, leads_to: PurePosixPath, links: dict[PurePosixPath, PurePosixPath]
) -> None:
    passed = {name}
    while leads_to in links and leads_to not in passed:
        passed.add(leads_to)
        leads_to = links[leads_to]
    target = unpacking.root / leads_to
    if leads_to in links or not target.is_file():
        raise _refused(unpacking.archive, f"holds the link {str(name)!r}, which leads to no file of the archive")
    with target.open("rb") as source:
        unpacking.write(name, source)
