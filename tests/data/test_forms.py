"""Forms: what their YAML may say, and where everything comes to lie on the paper."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ConfigurationError, FileAccessError
from data.forms import MARKER_MM, Form, lay_out, load_form

EXAMPLES = [
    Path(__file__).parents[2] / "apps/digits/examples/household.yaml",
    Path(__file__).parents[2] / "benchmarks/forms/hundred.yaml",
]


def described(**changes) -> dict:
    tree = {
        "form": "test",
        "title": "A test",
        "fields": [{"name": "age", "label": "Age", "cells": 3}, {"name": "year", "label": "Year", "cells": 4}],
    }
    return {**tree, **changes}


def written(folder: Path, tree: object) -> Path:
    path = folder / "form.yaml"
    path.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    return path


def overlap(one, other) -> bool:
    return (
        min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0]) > 1e-6
        and min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1]) > 1e-6
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_shipped_forms_are_valid(path):
    pages = lay_out(load_form(path))
    assert len(pages) == 1
    assert sum(len(page.cells) for page in pages) >= 50


def test_the_benchmark_form_has_a_hundred_cells():
    assert len(lay_out(load_form(EXAMPLES[1]))[0].cells) == 100


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (described(colour="red"), "colour: unknown key"),
        (described(fields=[{"name": "a", "label": "A", "cells": 2, "size": 3}]), "fields.0.size: unknown key"),
        (described(fields=[]), "fields"),
        (described(fields=[{"name": "a", "label": "A", "cells": 0}]), "fields.0.cells"),
        (described(fields=[{"name": "1a", "label": "A", "cells": 1}]), "fields.0.name"),
        (described(fields=[{"name": "a", "label": "A", "cells": 1}] * 2), "'a' is used twice"),
        (described(fields=[{"name": "a", "label": "A", "cells": 1, "minimum": 5, "maximum": 2}]), "minimum 5 is above"),
        (described(fields=[{"name": "a", "label": "A", "cells": 1, "pattern": "("}]), "no regular expression"),
        (described(page="A9"), "page"),
        (described(page=[50, 300]), "50 x 300 mm"),
        (described(cell_size=[2, 10]), "cell_size 2 x 10"),
        (described(fields=[{"name": "a", "label": "A", "cells": 24}]), "do not fit a column"),
        (described(columns=4), "do not fit a column"),
        ("form: [", "not valid YAML"),
        ("- one\n- two\n", "holds a list"),
    ],
)
def test_a_wrong_description_is_one_clear_line_with_the_file(tmp_path, tree, said):
    path = written(tmp_path, tree)
    with pytest.raises(ConfigurationError) as caught:
        load_form(path)
    line = str(caught.value)
    assert said in line
    assert str(path) in line
    assert "\n" not in line
    assert caught.value.exit_code == 9


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([(50, 60), (66, 65)], "cell 3 of field 'f0' overlaps cell 1 of field 'f1' on page 1"),
        ([(200, 100)], "reaches out of page 1"),
        ([(20, 21)], "covers a corner marker"),
        ([(50, 12)], "covers the title"),
        ([(95, 275)], "covers the QR code"),
        ([(50, 60), (50, 72)], "cell 1 of field 'f0' covers the label of field 'f1'"),
    ],
)
def test_impossible_places_are_refused(tmp_path, places, said):
    fields = [{"name": f"f{i}", "label": "F", "cells": 3, "at": list(at)} for i, at in enumerate(places)]
    with pytest.raises(ConfigurationError, match=r"form\.yaml") as caught:
        load_form(written(tmp_path, described(fields=fields)))
    assert said in str(caught.value)


def test_a_missing_page_is_refused(tmp_path):
    fields = [{"name": "a", "label": "A", "cells": 1, "at": [50, 60], "page": 2}]
    with pytest.raises(ConfigurationError, match="page 1 has no field"):
        load_form(written(tmp_path, described(fields=fields)))


def test_a_file_that_cannot_be_read_is_told_apart(tmp_path):
    with pytest.raises(FileAccessError):
        load_form(tmp_path / "absent.yaml")
    (tmp_path / "latin1.yaml").write_bytes("title: é".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_form(tmp_path / "latin1.yaml")


def test_fields_at_a_place_lie_there_and_their_label_above():
    form = Form.model_validate(described(fields=[{"name": "a", "label": "A", "cells": 2, "at": [40, 80]}]))
    place = lay_out(form)[0].places[0]
    assert [cell.box for cell in place.cells] == [(40, 80, 8, 10), (48, 80, 8, 10)]
    assert place.label[1] + place.label[3] < 80


def test_pages_forms_and_layouts_have_their_own_marker_ids():
    many = [{"name": f"f{i}", "label": "F", "cells": 4} for i in range(60)]
    form = Form.model_validate(described(fields=many))
    pages = lay_out(form)
    assert len(pages) > 2
    other_name = lay_out(form.model_copy(update={"form": "other"}))
    other_cells = lay_out(form.model_copy(update={"cell_size": (8.0, 11.0)}))
    ids = [page.marker_ids for page in (*pages, *other_name, *other_cells)]
    assert len(set(ids)) == len(ids)
    for four in ids:
        assert [number % 4 for number in four] == [0, 1, 2, 3]
        assert max(four) < 1000
    assert lay_out(form) == pages


@st.composite
def flowed_forms(draw) -> Form:
    page = draw(st.sampled_from(["A3", "A4", "A5", "letter", "legal", (160.0, 240.0)]))
    columns = draw(st.integers(1, 2))
    cell_size = draw(st.tuples(st.floats(5, 9), st.floats(5, 14)))
    counts = draw(st.lists(st.integers(1, 5), min_size=1, max_size=60))
    fields = [{"name": f"f{i}", "label": "label", "cells": count} for i, count in enumerate(counts)]
    return Form.model_validate(described(page=page, columns=columns, cell_size=cell_size, fields=fields))


@settings(max_examples=60, deadline=None)
@given(flowed_forms())
def test_flowed_forms_never_overlap_nor_leave_the_page(form):
    try:
        pages = lay_out(form)
    except ValueError as error:
        assert "do not fit a column" in str(error)  # noqa: PT017  (narrow pages refuse wide fields, and nothing else)
        return
    assert [field.name for field in form.fields] == [place.field.name for page in pages for place in page.places]
    for page in pages:
        width, height = page.size
        boxes = [cell.box for cell in page.cells] + [place.label for place in page.places]
        fixed = [*page.markers, page.heading, page.code]
        for x, y, w, h in boxes + fixed:
            assert x >= 3
            assert y >= 3
            assert x + w <= width - 3
            assert y + h <= height - 3
        for one, other in itertools.combinations(boxes + fixed, 2):
            assert not overlap(one, other)
        assert all(box[2] == box[3] == MARKER_MM for box in page.markers)
