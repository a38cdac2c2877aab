import json

import pytest

from seakeep.errors import AdoptionError, ConfigError
from seakeep.project.adoption.notebook import UNKNOWN, read_notebook


def notebook(path, *cells, counts=None, **changes):
    made = [
        {"cell_type": "code", "source": text, "execution_count": counts[place] if counts else None}
        for place, text in enumerate(cells)
    ]
    path.write_text(json.dumps({"cells": made, "nbformat": 4, "metadata": {}} | changes), "utf-8")
    return path


def codes(found):
    return [cell.code for cell in found.cells]


def test_magics_shell_lines_and_questions_are_left_out_and_told(tmp_path):
    found = read_notebook(notebook(tmp_path / "n.ipynb", "%matplotlib inline\nx = 1\nif x:\n    !ls\nx?\ny = 7 % x"))
    assert codes(found) == ["pass\nx = 1\nif x:\n    pass\npass\ny = 7 % x"]
    assert found.told == (
        "cell 1, line 1: left out '%matplotlib inline'",
        "cell 1, line 4: left out '!ls'",
        "cell 1, line 5: left out 'x?'",
    )


def test_what_a_magic_gives_to_a_name_is_not_known(tmp_path):
    found = read_notebook(notebook(tmp_path / "n.ipynb", "files = !ls *.csv"))
    assert codes(found) == [f"files = {UNKNOWN}"]
    assert found.told == ("cell 1, line 1: what 'files = !ls *.csv' gives is not known",)


@pytest.mark.parametrize(("magic", "kept"), [("%%time", "\nx = 1"), ("%%bash", "\n\n"), ("%%sql\n", "\n\n\n")])
def test_a_cell_magic_takes_its_cell_with_it_unless_the_body_is_python(tmp_path, magic, kept):
    found = read_notebook(notebook(tmp_path / "n.ipynb", f"{magic}\nx = 1"))
    assert codes(found) == [kept]


def test_lines_keep_their_numbers_and_sources_may_be_lists(tmp_path):
    found = read_notebook(notebook(tmp_path / "n.ipynb", ["%time\n", "x = (1 +\n", "     2)\n"]))
    assert found.cells[0].tree.body[-1].lineno == 2


def test_a_remainder_at_the_beginning_of_a_line_is_no_magic(tmp_path):
    found = read_notebook(notebook(tmp_path / "n.ipynb", "x = (7\n% 2)"))
    assert codes(found) == ["x = (7\n% 2)"]


def test_cells_are_taken_in_the_order_they_were_run(tmp_path):
    found = read_notebook(notebook(tmp_path / "n.ipynb", "a = 1", "c = b", "b = a", counts=[1, 3, 2]))
    assert [cell.number for cell in found.cells] == [1, 3, 2]
    assert found.told == ("the cells were run in the order 1, 3, 2, and are taken in that order",)


@pytest.mark.parametrize("counts", [[1, None, 2], [2, 2, 1], [1, 2, 7]])
def test_counts_that_tell_no_other_order_leave_the_one_in_which_cells_stand(tmp_path, counts):
    found = read_notebook(notebook(tmp_path / "n.ipynb", "a = 1", "b = 1", "c = 1", counts=counts))
    assert [cell.number for cell in found.cells] == [1, 2, 3]


def test_a_cell_that_is_no_python_is_told_with_its_line(tmp_path):
    with pytest.raises(AdoptionError) as caught:
        read_notebook(notebook(tmp_path / "n.ipynb", "a = 1", "b = 1\nprint 'b'"))
    assert (caught.value.cell, caught.value.line) == (2, 2)
    assert caught.value.message.startswith("cell 2, line 2: this is not Python")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"cells": 3, "nbformat": 4}', '{"cells": [{"x": 1}], "nbformat": 4}', "\x00\xff"]
)
def test_what_is_no_notebook_is_told(tmp_path, text):
    path = tmp_path / "n.ipynb"
    path.write_text(text, "latin-1")
    with pytest.raises(ConfigError, match="is not a notebook"):
        read_notebook(path)


def test_an_old_format_is_told(tmp_path):
    with pytest.raises(ConfigError, match="format 3") as caught:
        read_notebook(notebook(tmp_path / "n.ipynb", nbformat=3))
    assert "Jupyter" in caught.value.hint
