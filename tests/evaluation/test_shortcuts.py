"""A class that is told by how a file was saved, or by its border, is found out; honest pictures are left in peace."""

import io

import numpy as np
import pytest
from PIL import Image

from telltale.data.index import scan
from telltale.evaluation.metrics import Interval
from telltale.evaluation.shortcuts import ADVICE, LEAK, Shortcut, file_facts, find_shortcuts, judge

PER_CLASS = 60


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))


def noise(rng, width=48, height=40):
    """Clouds of any colour: nothing in them tells a class."""
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).copy()


def jpeg(pixels, quality=85):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def told_by_nothing(rng, kind):
    return jpeg(noise(rng))


def told_by_quality(rng, kind):
    return jpeg(noise(rng), quality=(80, 92)[kind])


def told_by_size(rng, kind):
    side = int(rng.integers(40, 60))
    return jpeg(noise(rng, side, side if kind else round(side * 0.75)))


def told_by_border(rng, kind):
    """A margin of grey round one class, of black or white round the other: equally light on average."""
    pixels = noise(rng)
    margin = 128 if kind else int(rng.choice([0, 255]))
    for edge in (np.s_[:4], np.s_[-4:], np.s_[:, :4], np.s_[:, -4:]):
        pixels[edge] = margin
    return jpeg(pixels)


def told_by_colour(rng, kind):
    """The middle of the picture is redder in one class; border and file tell nothing."""
    pixels = noise(rng)
    pixels[10:30, 10:38] = (180, 60, 60) if kind else (60, 60, 180)
    return jpeg(pixels)


def write(root, draw, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    for kind in range(classes):
        folder = root / f"class-{kind}"
        folder.mkdir(parents=True)
        for number in range(PER_CLASS):
            (folder / f"{number}.jpg").write_bytes(draw(rng, kind))
    return scan(root)


CASES = {
    "nothing": (told_by_nothing, set(), ""),
    "JPEG quality": (told_by_quality, {"file facts"}, "from JPEG quality alone 100 %"),
    "size": (told_by_size, {"file facts"}, "from aspect alone 100 %"),
    "border": (told_by_border, {"border"}, ""),
    "colour": (told_by_colour, {"thumbnail"}, ""),
}


@pytest.mark.parametrize(("draw", "leaks", "words"), CASES.values(), ids=CASES)
def test_each_shortcut_is_found_where_it_is_and_nowhere_else(draw, leaks, words, tmp_path):
    found = {one.name: one for one in find_shortcuts(write(tmp_path / "pictures", draw))}
    assert list(found) == list(LEAK)
    said = {name: judge(one, reference=0.98) for name, one in found.items()}
    warned = {name for name, text in said.items() if text}
    # What the border shows is part of the thumbnail, and a margin of one grey makes a smaller file.
    assert leaks <= warned <= leaks | ({"thumbnail", "file facts"} if leaks == {"border"} else set())
    for name in leaks:
        assert "the data leak their label" in said[name]
        assert ADVICE[name] in said[name]
        assert found[name].accuracy.value > 0.85
    assert words in said["file facts"]


def test_a_shortcut_says_what_it_was_measured_on(tmp_path):
    facts, border, _ = find_shortcuts(write(tmp_path / "pictures", told_by_quality))
    assert (facts.pictures, facts.baseline) == (2 * PER_CLASS, 0.5)
    assert facts.facts[0] == ("JPEG quality", 1.0)
    assert [share for _, share in facts.facts] == sorted((share for _, share in facts.facts), reverse=True)
    assert border.facts == ()
    assert border.accuracy.low < 0.55


def test_the_same_seed_gives_the_same(tmp_path):
    index = write(tmp_path / "pictures", told_by_border)
    assert find_shortcuts(index) == find_shortcuts(index)


def test_copies_do_not_make_a_shortcut(tmp_path):
    """Ten pictures, each 12 times in other bytes: what is learned from one copy tells the others."""
    rng = np.random.default_rng(3)
    for kind in range(2):
        folder = tmp_path / "pictures" / f"class-{kind}"
        folder.mkdir(parents=True)
        for number in range(5):
            pixels = noise(rng)
            for copy in range(12):
                (folder / f"{number}-{copy}.jpg").write_bytes(jpeg(pixels, quality=95 - copy % 3))
    index = scan(tmp_path / "pictures")
    together = [judge(one, reference=0.98) for one in find_shortcuts(index)]
    apart = [judge(one, reference=0.98) for one in find_shortcuts(index, units=np.arange(len(index)))]
    assert together == ["", "", ""]
    assert apart[2], "the test must be able to fail: without units the thumbnails tell all"


@pytest.mark.parametrize("counts", [(5,), (1, 1)], ids=["one class", "two pictures"])
def test_nothing_is_measured_where_nothing_can_be_told(counts, tmp_path):
    rng = np.random.default_rng(0)
    for kind, count in enumerate(counts):
        (tmp_path / "pictures" / str(kind)).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "pictures" / str(kind) / f"{number}.jpg").write_bytes(told_by_nothing(rng, kind))
    assert find_shortcuts(scan(tmp_path / "pictures")) == ()


def test_unreadable_pictures_are_left_out(tmp_path):
    index = write(tmp_path / "pictures", told_by_quality)
    (tmp_path / "pictures" / "class-0" / "broken.jpg").write_bytes(b"no picture")
    found = find_shortcuts(scan(tmp_path / "pictures"), units=np.arange(len(index) + 1))
    assert found[0].pictures == 2 * PER_CLASS


def shortcut(name, low, value, baseline=0.5):
    return Shortcut(name, Interval(value, low, 1.0), baseline, 1000)


@pytest.mark.parametrize(
    ("given", "reference", "warns"),
    [
        (shortcut("file facts", 0.60, 0.63), 0.96, False),
        (shortcut("file facts", 0.74, 0.77), 0.96, True),
        (shortcut("file facts", 0.74, 0.77), None, False),
        (shortcut("file facts", 0.76, 0.79), None, True),
        (shortcut("border", 0.80, 0.83), 0.96, False),
        (shortcut("border", 0.90, 0.93), 0.96, True),
        (shortcut("border", 0.70, 0.90), 0.96, False),  # few pictures: it may be luck
        (shortcut("thumbnail", 0.53, 0.60), 0.52, False),  # the network tells nothing either
        (shortcut("thumbnail", 0.60, 0.66), 0.52, True),  # more than the network
        (shortcut("file facts", 0.91, 0.93, baseline=0.9), 0.99, False),
        (shortcut("file facts", 0.96, 0.97, baseline=0.9), 0.99, True),
    ],
)
def test_a_shortcut_is_judged_by_its_way_from_guessing_to_the_network(given, reference, warns):
    assert bool(judge(given, reference)) == warns


def test_the_words_name_the_figures():
    words = judge(shortcut("border", 0.90, 0.934), 0.96)
    assert words.startswith("From the border alone 93 % are right (always saying the most frequent class: 50 %; ")
    assert "the network: 96 %)" in words
    assert "the network" not in judge(shortcut("border", 0.95, 0.96), None)


def test_facts_of_files_are_numbered_without_gaps(tmp_path):
    index = write(tmp_path / "pictures", told_by_size)
    facts = file_facts(index)
    for name, values in facts.items():
        assert values.shape == (len(index),), name
        assert set(values.tolist()) == set(range(values.max() + 1)), name
    assert facts["format"].max() == 0
    assert facts["width"].max() > 8


def test_real_photos_do_not_cry_wolf(shared):
    found = find_shortcuts(scan(shared / "data" / "cats_and_dogs_unseen.zip"))
    assert [judge(one, reference=0.98) for one in found] == ["", "", ""]
    assert [judge(one, reference=None) for one in found] == ["", "", ""]
