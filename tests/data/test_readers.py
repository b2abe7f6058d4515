from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from data.errors import ArgumentError, FileAccessError, InputError
from data.readers import DigitSet, Problem, joined, read_digits
from data.readers.digitset import ArrayImages


def picture(value: int = 0) -> Pillow.Image:
    return Pillow.fromarray(np.full((12, 10), value, np.uint8))


def save(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(value).save(path)
    return path


def names_of(problems: tuple[Problem, ...]) -> set[str]:
    return {problem.name for problem in problems}


def cmaterdb(folder: Path, test: np.ndarray | None = None, **changes: np.ndarray) -> Path:
    """A small CMATERdb: six training images, four test images."""
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    fresh = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    arrays = {"images": train, "labels": np.arange(6)} | changes
    np.savez(folder / "training-images.npz", **arrays)
    np.savez(folder / "testing-images.npz", images=fresh if test is None else test, labels=np.arange(4))
    return folder


# Real data


def test_cmaterdb_train_and_test(shankha_data: Path) -> None:
    folder = shankha_data / "digits" / "cmaterdb"
    train, test = read_digits(folder, "train"), read_digits(folder, "test")
    assert (len(train), len(test)) == (5000, 993)
    assert names_of(test.left_out) == {f"testing-images.npz#{n}" for n in (41, 79, 258, 288, 471, 758, 862)}
    assert all("exact copy of training-images.npz#" in problem.why for problem in test.left_out)
    assert train.left_out == test.problems == train.problems == ()
    assert train.polarity == "dark"
    assert np.bincount(train.labels).tolist() == [500] * 10
    assert train.read(0).shape == (32, 32, 3)
    seen = {train.read(i).tobytes() for i in range(len(train))}
    assert not any(test.read(i).tobytes() in seen for i in range(len(test)))


def test_cmaterdb_without_split_is_its_test_part(shankha_data: Path) -> None:
    folder = shankha_data / "digits" / "cmaterdb"
    assert read_digits(folder).names.tolist() == read_digits(folder, "test").names.tolist()


def test_numtadb_sources(shankha_data: Path) -> None:
    folder = shankha_data / "digits" / "numtadb"
    whole = read_digits(folder)
    assert len(whole) == 44_359
    counts = {str(source): int((whole.sources == source).sum()) for source in np.unique(whole.sources)}
    assert counts == {"numtadb-a": 19_702, "numtadb-b": 359, "numtadb-c": 24_298}
    assert whole.polarity == "light"
    only_b = read_digits(folder, "b")
    assert len(only_b) == 359
    place = int(only_b.names[5].rpartition("#")[2])
    assert np.array_equal(only_b.read(5), whole.read(place))
    assert only_b.labels[5] == whole.labels[place]


def test_the_known_datasets_are_readable_throughout(shankha_data: Path) -> None:
    decoded = []
    assert read_digits(shankha_data / "digits" / "cmaterdb").check(decoded.append) == ()
    assert decoded[-1] == 993
    assert decoded == sorted(decoded)


# CMATERdb and packed NumtaDB, made up


def test_copies_are_found_by_their_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    test = np.stack([train[3], train[3] ^ 1, train[5], train[0][::-1]])
    digits = read_digits(cmaterdb(tmp_path, test), "test")
    assert digits.names.tolist() == ["testing-images.npz#1", "testing-images.npz#3"]
    assert digits.labels.tolist() == [1, 3]
    assert np.array_equal(digits.read(1), test[3])
    assert digits.left_out == (
        Problem("testing-images.npz#0", "is an exact copy of training-images.npz#3"),
        Problem("testing-images.npz#2", "is an exact copy of training-images.npz#5"),
    )


def test_cmaterdb_needs_both_files(tmp_path: Path) -> None:
    (cmaterdb(tmp_path) / "training-images.npz").unlink()
    with pytest.raises(InputError, match=r"training-images\.npz: is missing"):
        read_digits(tmp_path)


def test_labels_out_of_range_are_listed_and_left_out(tmp_path: Path) -> None:
    digits = read_digits(cmaterdb(tmp_path, labels=np.array([0, 1, 10, 3, -1, 5])), "train")
    assert digits.labels.tolist() == [0, 1, 3, 5]
    assert digits.names.tolist() == [f"training-images.npz#{n}" for n in (0, 1, 3, 5)]
    assert names_of(digits.problems) == {"training-images.npz#2", "training-images.npz#4"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": np.arange(5)}, "differ in length"),
        ({"labels": np.arange(6) / 2}, "labels are float64"),
        ({"labels": np.zeros((6, 10), int)}, r"labels are int64 of shape \(6, 10\)"),
        ({"images": np.zeros((6, 32, 32), np.float32)}, "pictures are float32"),
        ({"images": np.zeros((6, 32 * 32), np.uint8)}, "pictures are uint8 of shape"),
        ({"images": np.array([{}] * 6, dtype=object)}, "no plain .npz archive"),
        ({"images": np.uint8(3)}, "differ in length"),
    ],
)
def test_archives_that_are_not_what_they_should_be(tmp_path: Path, changes: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read_digits(cmaterdb(tmp_path, **changes), "train")
    assert "training-images.npz" in str(caught.value)


def test_a_missing_key_names_what_is_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "training-abc.npz", x=np.zeros((2, 28, 28), np.uint8), y=np.zeros(2, int))
    with pytest.raises(InputError, match="holds x, y, not source"):
        read_digits(tmp_path)


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_a_cut_archive(tmp_path: Path, keep: int) -> None:
    path = cmaterdb(tmp_path) / "testing-images.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"testing-images\.npz"):
        read_digits(tmp_path)


def test_unknown_splits_are_refused(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "training-abc.npz",
        x=np.zeros((3, 28, 28), np.uint8),
        y=np.arange(3),
        source=np.array(["a", "a", "c"]),
    )
    assert read_digits(tmp_path, "a").labels.tolist() == [0, 1]
    with pytest.raises(ArgumentError, match="one of a, c"):
        read_digits(tmp_path, "b")
    (tmp_path / "c").mkdir()
    with pytest.raises(ArgumentError, match="train or test"):
        read_digits(cmaterdb(tmp_path / "c"), "val")


# NumtaDB as published

HEADER = "filename,original filename,scanid,digit,database name original,contributing team,database name\n"


def published(folder: Path) -> Path:
    for name, value in (("a00000.png", 10), ("a00001.png", 20), ("a00002.png", 30)):
        save(folder / "training-a" / name, value)
    for name in ("e00000.png", "e00001.png"):
        save(folder / "training-e" / "training-e" / name, 200)
    save(folder / "testing-a" / "a09999.png")
    (folder / "training-a.csv").write_text(
        HEADER
        + "a00000.png,Scan_58_digit_5_num_8.png,58,5,BHDDB,Buet_Broncos,training-a\n"
        + "a00001.png,Scan_73_digit_3_num_5.png,73,3,BHDDB,Buet_Broncos,training-a\n"
        + "a00002.png,Scan_58_digit_0_num_1.png,58,0,BHDDB,Buet_Broncos,training-a\n",
        encoding="utf-8",
    )
    # Other sources have other columns.
    (folder / "training-e.csv").write_text(
        "\ufefffilename,original filename,num,digit,database name\ne00001.png,x.jpg,1,9,training-e\n"
        "e00000.png,y.jpg,1,7,training-e\n",
        encoding="utf-8",
    )
    return folder


def test_numtadb_as_published(tmp_path: Path) -> None:
    digits = read_digits(published(tmp_path))
    assert digits.names.tolist() == [
        "training-a/a00000.png",
        "training-a/a00001.png",
        "training-a/a00002.png",
        "training-e/training-e/e00001.png",
        "training-e/training-e/e00000.png",
    ]
    assert digits.labels.tolist() == [5, 3, 0, 9, 7]
    assert digits.sources.tolist() == ["numtadb-a"] * 3 + ["numtadb-e"] * 2
    assert digits.groups.tolist() == ["numtadb-a/58", "numtadb-a/73", "numtadb-a/58", "numtadb-e", "numtadb-e"]
    assert digits.read(1)[0, 0] == 20
    assert digits.polarity == "auto"
    assert digits.problems == ()
    assert digits.left_out == (Problem("testing-a", "has no labels"),)
    assert read_digits(tmp_path, "e").labels.tolist() == [9, 7]
    with pytest.raises(ArgumentError, match="one of a, e"):
        read_digits(tmp_path, "b")


def test_rows_and_files_that_do_not_match_are_listed(tmp_path: Path) -> None:
    folder = published(tmp_path)
    (folder / "training-a.csv").write_text(
        HEADER
        + "a00000.png,x,1,5,D,T,training-a\n"
        + "missing.png,x,1,5,D,T,training-a\n"
        + "a00000.png,x,1,4,D,T,training-a\n"
        + "a00001.png,x,1,twelve,D,T,training-a\n"
        + "a00002.png\n",
        encoding="utf-8",
    )
    save(folder / "training-a" / "stray.png")
    digits = read_digits(folder, "a")
    assert digits.labels.tolist() == [5]
    why = {problem.name: problem.why for problem in digits.problems}
    assert "'missing.png', which is missing" in why["training-a.csv, line 3"]
    assert "named twice" in why["training-a.csv, line 4"]
    assert "'twelve'" in why["training-a.csv, line 5"]
    assert "its digit is None" in why["training-a.csv, line 6"]
    assert why["training-a/stray.png"] == "has no row in training-a.csv"
    assert len(why) == 5


def test_a_table_without_its_columns(tmp_path: Path) -> None:
    (published(tmp_path) / "training-a.csv").write_text("file,label\na00000.png,3\n", encoding="utf-8")
    with pytest.raises(InputError, match="has no column filename or digit"):
        read_digits(tmp_path)


def test_a_table_that_is_none(tmp_path: Path) -> None:
    (published(tmp_path) / "training-a.csv").write_bytes(b"filename,digit\n\xff\xfe\x00a")
    with pytest.raises(InputError, match="no UTF-8 table"):
        read_digits(tmp_path)


# Class folders


def test_class_folders_in_both_scripts_and_any_case(tmp_path: Path) -> None:
    for number, name in enumerate(
        ["3/a.PNG", "৩/b.jpeg", "digit_3/c.bmp", "04/deep/er/d.TIFF", "not_a_digit/e.webp", "৯/f.tif", "0/g.jpg"]
    ):
        save(tmp_path / name, number)
    digits = read_digits(tmp_path)
    assert dict(zip(digits.names.tolist(), digits.labels.tolist(), strict=True)) == {
        "3/a.PNG": 3,
        "৩/b.jpeg": 3,
        "digit_3/c.bmp": 3,
        "04/deep/er/d.TIFF": 4,
        "not_a_digit/e.webp": 10,
        "৯/f.tif": 9,
        "0/g.jpg": 0,
    }
    assert set(digits.sources.tolist()) == {tmp_path.name}
    assert digits.check() == ()


def test_what_is_no_class_or_picture_is_told(tmp_path: Path) -> None:
    save(tmp_path / "1" / "a.png")
    save(tmp_path / "12" / "b.png")
    save(tmp_path / "loose.png")
    (tmp_path / "1" / "notes.txt").write_text("x")
    (tmp_path / "labels.csv").write_text("x")
    for litter in (".DS_Store", "1/Thumbs.db", "1/._a.png"):
        (tmp_path / litter).write_text("x")
    digits = read_digits(tmp_path)
    assert digits.names.tolist() == ["1/a.png"]
    assert names_of(digits.problems) == {"12", "loose.png"}
    assert names_of(digits.left_out) == {"1/notes.txt", "labels.csv"}


def test_damaged_pictures_are_listed_never_replaced(tmp_path: Path) -> None:
    whole = save(tmp_path / "7" / "b.png", 7)
    (tmp_path / "7" / "a.png").write_bytes(b"")
    (tmp_path / "7" / "c.png").write_bytes(whole.read_bytes()[:40])
    (tmp_path / "7" / "d.jpg").write_text("no picture at all")
    digits = read_digits(tmp_path)
    assert len(digits) == 4
    with pytest.raises(InputError, match="is empty"):
        digits.read(0)
    (batch,) = digits.batches()
    assert batch.indices.tolist() == [1]
    assert [image[0, 0] for image in batch.images] == [7]
    assert names_of(batch.problems) == names_of(digits.check()) == {"7/a.png", "7/c.png", "7/d.jpg"}


def test_splits_among_class_folders(tmp_path: Path) -> None:
    for number, name in enumerate(["Train/1/a.png", "train2/1/x.png", "valid/2/b.png", "test/3/c.png"]):
        save(tmp_path / name, number)
    assert read_digits(tmp_path).names.tolist() == ["test/3/c.png"]
    assert read_digits(tmp_path, "train").names.tolist() == ["Train/1/a.png"]
    assert read_digits(tmp_path, "val").names.tolist() == ["valid/2/b.png"]
    with pytest.raises(ArgumentError, match="has no split 'dev'"):
        read_digits(tmp_path, "dev")


def test_sources_among_class_folders(tmp_path: Path) -> None:
    for name in ["isi/1/a.png", "ekush/1/b.png", "ekush/২/c.png"]:
        save(tmp_path / name)
    digits = read_digits(tmp_path)
    assert digits.sources.tolist() == ["ekush", "ekush", "isi"]
    assert digits.labels.tolist() == [1, 2, 1]


@pytest.mark.parametrize("folders", [[], ["cats", "dogs"]])
def test_a_folder_of_no_known_kind(tmp_path: Path, folders: list[str]) -> None:
    for name in folders:
        save(tmp_path / name / "a.png")
    with pytest.raises(InputError, match="no folder of a digit"):
        read_digits(tmp_path)


def test_empty_class_folders_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        read_digits(tmp_path)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="is no folder"):
        read_digits(tmp_path / "none")


# The set itself


def made(count: int, source: str = "s") -> DigitSet:
    return DigitSet(
        source,
        labels=np.arange(count) % 10,
        sources=np.full(count, source),
        groups=np.full(count, source),
        names=np.array([f"{source}#{i}" for i in range(count)], np.str_),
        places=np.arange(count),
        images=ArrayImages(np.arange(count, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(5, 2)),
        polarity="dark",
    )


@pytest.mark.parametrize(("count", "size", "expected"), [(0, 4, []), (3, 4, [3]), (8, 4, [4, 4]), (9, 4, [4, 4, 1])])
def test_batches_cover_the_set_once(count: int, size: int, expected: list[int]) -> None:
    batches = list(made(count).batches(size))
    assert [len(batch.images) for batch in batches] == expected
    assert [int(i) for batch in batches for i in batch.indices] == list(range(count))
    assert [int(image[0, 0]) for batch in batches for image in batch.images] == list(range(count))


def test_selecting_twice_still_finds_the_pictures() -> None:
    part = made(10).select([7, 3, 5]).select(np.array([False, True, True]))
    assert part.names.tolist() == ["s#3", "s#5"]
    assert [int(part.read(i)[0, 0]) for i in range(2)] == [3, 5]


def test_joined_sets_read_from_their_own() -> None:
    both = joined("both", [made(4, "a").select([3, 1]), made(3, "b")])
    assert both.names.tolist() == ["a#3", "a#1", "b#0", "b#1", "b#2"]
    assert [int(both.read(i)[0, 0]) for i in range(5)] == [3, 1, 0, 1, 2]
    assert both.polarity == "dark"
    assert int(both.select([4]).read(0)[0, 0]) == 2


def test_a_set_of_unequal_parts_is_refused() -> None:
    whole = made(3)
    with pytest.raises(ValueError, match="differ in length"):
        DigitSet("x", whole.labels, whole.sources[:2], whole.groups, whole.names, whole.places, whole.images, "dark")
    with pytest.raises(ValueError, match="from 0 to 10"):
        DigitSet("x", whole.labels + 9, whole.sources, whole.groups, whole.names, whole.places, whole.images, "dark")
