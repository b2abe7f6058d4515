"""Taxonomy files: what they tell, and every way in which they can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ConfigurationError, FileAccessError, InputError
from data.taxonomy import KNOWN, Taxon, Taxonomy

Write = Callable[[str], Path]
GOOD = """\
taxa:
- {key: Zanclus cornutus, family: Zanclidae, genus: Zanclus, species: cornutus, common_name: Moorish idol}
- {key: Scaridae, family: Scaridae}
- {key: snapper, family: Lutjanidae, genus: Lutjanus, species: fulvus, caab: "37346043", worms: 218483}
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str) -> Path:
        path = tmp_path / "taxonomy.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_a_taxonomy_tells_the_ranks_of_its_names(write: Write) -> None:
    taxa = Taxonomy.read(write(GOOD))
    assert taxa.of("Zanclus cornutus").scientific_name == "Zanclus cornutus"
    assert taxa.of("Scaridae") == Taxon(key="Scaridae", family="Scaridae")
    assert taxa.of("snapper").scientific_name == "Lutjanus fulvus"
    assert taxa.of("snapper").caab == "37346043"
    with pytest.raises(InputError, match="does not know 'tuna'"):
        taxa.of("tuna")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("taxa:\n- {key: a}\n- {key: a}\n", "key 'a' stands twice"),
        (
            "taxa:\n- {key: a, genus: G, species: s}\n- {key: b, genus: G, species: s}\n",
            "genus and species 'G s' stands twice",
        ),
        ("taxa:\n- {key: a, worms: 7}\n- {key: b, worms: 7}\n", "worms '7' stands twice"),
        ('taxa:\n- {key: a, caab: "37346043"}\n- {key: b, caab: "37346043"}\n', "caab '37346043' stands twice"),
        ("taxa:\n- {key: a, order: Perciformes}\n", "taxa.0.order: unknown key"),
        ("taxa:\n- {key: a}\nauthor: me\n", "author: unknown key"),
        ("taxa:\n- {key: a, species: s}\n", "has a species but no genus"),
        ("taxa:\n- {family: Zanclidae}\n", "taxa.0.key"),
        ("taxa: []\n", "taxa"),
        ('taxa:\n- {key: a, caab: "12"}\n', "taxa.0.caab"),
        ("- a\n- b\n", "holds a list"),
        ("taxa: [", "is not valid YAML"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_with_the_file(write: Write, text: str, told: str) -> None:
    path = write(text)
    with pytest.raises(ConfigurationError) as raised:
        Taxonomy.read(path)
    assert told in str(raised.value)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="cannot be read"):
        Taxonomy.read(tmp_path / "none.yaml")


def test_a_model_that_names_more_than_the_taxonomy_is_refused(write: Write) -> None:
    path = write(GOOD)
    taxa = Taxonomy.read(path)
    taxa.check(["Scaridae", "snapper"])
    with pytest.raises(InputError, match="disagrees with the model: 'eel' and 1 more are no keys of it") as raised:
        taxa.check(["Scaridae", "tuna", "eel"], path)
    assert str(path) in str(raised.value)
    with pytest.raises(InputError, match="'eel' is no key of it"):
        taxa.check(["eel"])


def test_written_taxa_read_back_in_the_order_asked_for(write: Write) -> None:
    taxa = Taxonomy.read(write(GOOD)).only(["snapper", "Scaridae"])
    assert [taxon.key for taxon in taxa.taxa] == ["snapper", "Scaridae"]
    assert Taxonomy.read(write(taxa.text())) == taxa


def test_names_tell_what_they_can_and_the_known_ones_more() -> None:
    taxa = Taxonomy.of_names(["Zanclus cornutus", "Girella tricuspidata", "fish 2", "Bluey"])
    assert taxa.of("Zanclus cornutus").family == "Zanclidae"
    assert taxa.of("Girella tricuspidata") == Taxon(key="Girella tricuspidata", genus="Girella", species="tricuspidata")
    assert taxa.of("fish 2") == Taxon(key="fish 2")
    assert taxa.of("Bluey").scientific_name == "Bluey"


def test_the_known_taxa_have_families_and_agree_with_their_keys() -> None:
    for taxon in Taxonomy.read(KNOWN).taxa:
        assert taxon.family.endswith("dae")
        assert taxon.scientific_name == taxon.key


@given(st.text(min_size=1, max_size=40).filter(lambda name: not set(name) & set("\t\r\n") and name.strip() == name))
def test_any_name_survives_the_file(name: str) -> None:
    taxa = Taxonomy(taxa=(Taxon(key=name, common_name=name),))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "taxonomy.yaml"
        path.write_text(taxa.text(), encoding="utf-8")
        assert Taxonomy.read(path) == taxa
