"""`show` draws figures of what is there and of what was found, whatever the names are."""

import io
import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from telltale.data.findings import inspect
from telltale.data.index import scan
from telltale.delivery.gallery import show
from telltale.errors import DataError, RecipeError, UserError

matplotlib.use("Agg")


def draw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 60, 3), np.uint8)).save(path)


def titles(figure):
    return [axis.get_title(loc="left") for axis in figure.axes if axis.get_title(loc="left")]


def pictures_in(figure):
    return sum(len(axis.images) for axis in figure.axes)


def written(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=40)
    return Image.open(file)


def test_an_index_is_a_row_of_samples_for_each_class(pictures):
    figure = show(scan(pictures), columns=5)
    assert titles(figure) == ["blue", "green", "red", "yellow"]
    assert pictures_in(figure) == 20
    rows = [figure.axes[at].images[0].get_array().reshape(-1, 3).mean(axis=0).argmax() for at in (0, 5, 10)]
    assert rows == [2, 1, 0], "blue, green and red pictures stand beside their names"
    picture = written(figure)
    assert picture.width > 200 and np.asarray(picture).std() > 10


def test_the_same_seed_draws_the_same_samples(pictures):
    index = scan(pictures)
    first, again, other = (
        [axis.images[0].get_array().tobytes() for axis in show(index, columns=3, seed=seed).axes] for seed in (0, 0, 1)
    )
    assert first == again != other


def test_findings_are_a_row_for_each_check(tmp_path):
    for n in range(8):
        draw(tmp_path / "ab"[n % 2] / f"{n}.png", n // 2)
    (tmp_path / "a" / "broken.jpg").write_bytes(b"no picture")
    figure = show(inspect(scan(tmp_path)))
    assert "duplicate with another label: 4" in titles(figure)
    assert not [title for title in titles(figure) if title.startswith("unreadable")]
    assert "b/1.png" in {text.get_text() for axis in figure.axes for text in axis.texts}
    written(figure)


def test_names_are_no_formulas_and_no_warnings(tmp_path):
    for n, name in enumerate(("$\\frac{1}$", "猫 \N{CAT FACE}", "$", "tab\tbell\a")):
        for m in range(2):
            draw(tmp_path / name / f"$\\x{m}$.png", n)  # two the same: a finding with these names
    index = scan(tmp_path)
    assert {"$\\frac{1}$", "$"} <= set(titles(show(index)))
    written(show(index))
    written(show(inspect(index)))


def test_nothing_to_show_is_said(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"no picture")
    index = scan(tmp_path)
    with pytest.raises(DataError, match="There is nothing to show of"):
        show(index)
    with pytest.raises(DataError, match="There is nothing to show of"):
        show(inspect(index))


def test_an_empty_grid_is_refused(pictures):
    with pytest.raises(RecipeError, match="0 rows of 8 pictures were asked for"):
        show(scan(pictures), rows=0)


def test_without_matplotlib_it_is_said_what_to_install(pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    with pytest.raises(UserError, match="Figures need matplotlib, which is not installed") as caught:
        show(scan(pictures))
    assert "pip install 'telltale[notebook]'" in str(caught.value)


def test_figures_do_not_pile_up(pictures):
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    show(scan(pictures), rows=1, columns=1)
    assert pyplot.get_fignums() == before


def test_the_verb_is_light_until_it_is_called():
    program = "import sys, telltale; telltale.show; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "False"
