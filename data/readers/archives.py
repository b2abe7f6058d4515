"""NumPy archives of pictures, opened without trusting them."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import FileAccessError, InputError
from data.preprocess import Image


def read_npz(path: Path, keys: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The named arrays of an .npz file, all of one length; nothing is ever unpickled.

    Raises:
        FileAccessError: The file cannot be read.
        InputError: It is no such archive, damaged, lacks a key, holds pickled objects or arrays of unequal length.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in keys if key not in archive.files]
            if missing:
                found = f"holds {', '.join(archive.files) or 'nothing'}, not {', '.join(missing)}"
                raise InputError(path, found, expected=f"the arrays {', '.join(keys)}")
            arrays = {key: archive[key] for key in keys}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, AttributeError, TypeError, MemoryError) as error:
        cure = "fetch the file again"
        raise InputError(path, f"is no plain .npz archive, or is damaged ({error})", cure=cure) from error
    except OSError as error:
        raise FileAccessError(path, f"cannot be read ({error.strerror or error})") from error
    lengths = {key: len(array) if array.ndim else 0 for key, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        listing = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise InputError(path, f"its arrays differ in length ({listing})", cure="fetch the file again")
    return arrays


def pictures(array: NDArray[Any], path: Path) -> Image:
    """The array as (N, H, W) or (N, H, W, 3) uint8; raises InputError where it is no such thing."""
    if array.dtype != np.uint8 or array.ndim not in {3, 4} or (array.ndim == 4 and array.shape[3] not in {1, 3}):
        found = f"its pictures are {array.dtype} of shape {array.shape}"
        raise InputError(path, found, expected="uint8 of shape (N, H, W) or (N, H, W, 3)")
    return array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array


def digit_labels(array: NDArray[Any], path: Path) -> NDArray[np.int64]:
    """(N,) int64 labels; those out of range are left for the caller to list. Raises InputError if not integers."""
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(
            path, f"its labels are {array.dtype} of shape {array.shape}", expected="integers of shape (N,)"
        )
    return array.astype(np.int64)
