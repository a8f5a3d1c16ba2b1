"""The page of an inspection: whole, small, escaped, and in a real browser silent and on its own."""

import itertools
import json
import os
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from tests.delivery.page import Page

from telltale.batches.augmentation import parse_augmentation
from telltale.batches.feed import Normalise, PictureFeed
from telltale.batches.preprocess import Preprocess
from telltale.data.checks import CHECKS
from telltale.data.decoding import decode
from telltale.data.findings import inspect
from telltale.data.index import scan
from telltale.delivery import selection
from telltale.delivery.album import MOST_BYTES, draw_album
from telltale.delivery.inspection import Inspection
from telltale.delivery.inspection_pipeline import inspect_source
from telltale.delivery.inspection_report import (
    MOST_PREVIEWS,
    MOST_SUSPECTS,
    SQUARE_BYTES,
    mirror,
    render,
    write_inspection,
)
from telltale.delivery.page import thumbnail
from telltale.delivery.sizes import draw_sizes

MEGABYTES = 5


def draw_noise(path, seed, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8)).save(path)


def look(folder):
    """An inspection without its slow part, the shortcuts."""
    return Inspection(inspect(scan(folder)))


def write_evil(folder, where):
    """Pictures whose names, classes and parts are markup that would ask `where`; a table holds the labels."""
    folder.mkdir(parents=True)
    names = ['"><img src=x onerror=alert(1)>.png', "<script>alert(1)<script>.png", "' onmouseover='alert(1).png"]
    names += [f"{{{{ 7*7 }}}} {n}.png" for n in range(3)]
    labels = [f'<img src="{where}/a.png" onerror="console.error(1)">', f"</style><script src='{where}/b.js'></script>"]
    lines = ["image,label"]
    for at, name in enumerate(names):
        draw_noise(folder / name, at)
        quoted = [text.replace('"', '""') for text in (name, labels[at % 2])]
        lines.append(f'"{quoted[0]}","{quoted[1]}"')
    shutil.copy(folder / names[0], folder / "copy.png")
    lines.append('copy.png,"{}"'.format(labels[1].replace('"', '""')))
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return labels


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def inspected(tmp_path_factory):
    """20 pictures of two classes with a broken one, a copy and a tiny one; the inspection and its page."""
    root = tmp_path_factory.mktemp("page") / "data"
    for n in range(20):
        draw_noise(root / "ab"[n % 2] / f"{n}.png", n, (160, 120 + n))
    shutil.copy(root / "a" / "0.png", root / "b" / "copy.png")
    draw_noise(root / "a" / "tiny.png", 50, (9, 7))
    (root / "b" / "broken.jpg").write_bytes(b"<html>")
    inspection = inspect_source(root, output=root.parent / "out")
    return inspection, Page(inspection.report.read_text(encoding="utf-8"))


def test_sections_come_in_the_order_a_reader_needs(inspected):
    _, page = inspected
    places = [one for one in page.all("section", "id") if one]
    assert places == ["classes", "copies", "suspects", "shortcuts", "checks", "sizes", "samples", "preview", "settings"]


def test_headings_have_no_gaps_and_links_have_targets(inspected):
    _, page = inspected
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    targets = {value for _, attributes in page.tags for name, value in attributes.items() if name == "id"}
    links = page.all("a", "href")
    assert links and {link.removeprefix("#") for link in links} <= targets


def test_every_picture_has_words(inspected):
    _, page = inspected
    words = page.all("img", "alt")
    assert len(words) > 20
    assert all(words)


def test_page_holds_all_it_shows(inspected):
    inspection, page = inspected
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.all("img", "src"))
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    text = inspection.report.read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|https?:", text)
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    "words",
    [
        "a 11 50.0 %",
        "Always saying 'a' would be right for",
        "1 picture is there more than once; 1 file could go if one of each were kept.",
        "different labels · 2 pictures with the same pixels",
        "Not looked for: that needs a network.",
        "thumbnail",
        "html: ",
        "tiny 1",
        "input 1",
        "the square of 1",
        "Also looked for, and not found: ",
    ],
)
def test_page_says(inspected, words):
    assert words in inspected[1].text


def test_names_are_escaped(tmp_path):
    labels = write_evil(tmp_path / "evil", "http://localhost:1")
    page = Page(render(look(tmp_path / "evil")))
    assert "script" not in {tag for tag, _ in page.tags}
    assert all(address.startswith("data:image/jpeg") for address in page.all("img", "src"))
    assert labels[0] in page.text
    assert '"><img src=x onerror=alert(1)>.png' in page.text
    assert "{{ 7*7 }} 0.png" in page.text


def test_names_that_are_no_utf8_are_shown(tmp_path):
    for n, name in enumerate((b"caf\xe9", b"bar")):
        folder = os.fsencode(tmp_path / "data") + b"/" + name
        os.makedirs(folder)
        for m in range(3):
            draw_noise(tmp_path / "one.png", 10 * n + m)
            shutil.move(os.fsencode(tmp_path / "one.png"), folder + b"/%d.png" % m)
    shutil.copy(os.fsencode(tmp_path / "data") + b"/caf\xe9/0.png", os.fsencode(tmp_path / "data") + b"/bar/\xff.png")
    inspection = look(tmp_path / "data")
    page = Page(render(inspection))
    assert "caf%E9/0.png" in page.text
    assert "bar/%FF.png" in page.text
    assert "cannot be shown" not in page.text
    json.dumps(inspection.to_dict(), ensure_ascii=False).encode()


def test_pictures_that_vanish_meanwhile_are_frames_without_a_picture(tmp_path):
    for n in range(6):
        draw_noise(tmp_path / "data" / "ab"[n % 2] / f"{n}.png", n)
    inspection = look(tmp_path / "data")
    (tmp_path / "data" / "a" / "0.png").unlink()
    assert "cannot be shown" in Page(render(inspection)).text


def test_the_budget_holds_whatever_is_found():
    pictures = 2 * selection.GROUPS + selection.GROUPS * selection.TOGETHER + MOST_SUSPECTS
    pictures += len(CHECKS) * selection.FOUND + selection.CLASSES * selection.EACH + MOST_PREVIEWS
    squares = 2 * MOST_PREVIEWS * SQUARE_BYTES
    text = 600_000  # 120 letters and 500 of markup for each picture, 30 classes, histograms, style
    assert (pictures * MOST_BYTES + squares) * 4 / 3 + text < MEGABYTES * 1e6


def test_noise_is_reduced_until_it_fits(tmp_path):
    for n in range(4):
        draw_noise(tmp_path / "data" / "ab"[n % 2] / f"{n}.png", n, (900, 700))
    index = scan(tmp_path / "data")
    album = draw_album(index, [*index.paths, "a/none.png"])
    assert set(album) == set(index.paths)
    assert max(len(picture) for picture in album.values()) <= MOST_BYTES
    flat = thumbnail(np.full((300, 400, 3), 90, np.uint8), most=MOST_BYTES)
    assert decode(flat).pixels.shape == (120, 160, 3)


def test_a_hundred_classes_of_noise_stay_small(tmp_path):
    for n in range(300):
        path = tmp_path / "data" / f"class {n % 100:02d} {'x' * 60}" / f"{n} {'y' * 60}.png"
        draw_noise(path, n // 2, (160, 160))  # every picture twice, under two labels
    text = render(look(tmp_path / "data"))
    assert len(text.encode()) < MEGABYTES * 1e6
    page = Page(text)
    assert "… 70 classes between" in page.text
    assert "The first 12 of 100 classes." in page.text
    assert "12 of 150 groups are shown" in page.text


def test_the_preview_is_what_training_does(tmp_path):
    for n in range(8):
        draw_noise(tmp_path / "data" / "ab"[n % 2] / f"{n}.png", n, (50, 40))
    index, preprocess = scan(tmp_path / "data"), Preprocess(32)
    plain = [preprocess.apply(decode(index.store.read(path)).pixels) for path in index.paths]
    ways = np.stack([*plain, *map(mirror, plain)])
    both = {one.numpy().tobytes() for one in Normalise(preprocess)(torch.from_numpy(ways))}
    feed = PictureFeed(index, preprocess, augmentation=parse_augmentation(["flip"]))
    seen = {one.numpy().tobytes() for epoch in range(1, 13) for batch in feed.epoch(epoch) for one in batch.inputs}
    assert seen == both


def test_histograms_mark_the_suggested_size_and_count_every_picture(tmp_path):
    for n, (width, height) in enumerate([(300, 200), (200, 300), (640, 480), (64, 64), (1000, 100)]):
        draw_noise(tmp_path / "data" / "ab"[n % 2] / f"{n}.png", n, (width, height))
    sizes, aspects = draw_sizes(scan(tmp_path / "data"), 192)
    assert sizes.mark.text == "input 192" and aspects.mark is None
    for one in (sizes, aspects):
        assert sum(int(bar.words.rpartition(": ")[2]) for bar in one.bars) == 5
        places = sorted(tick.place for tick in one.across)
        assert all(after - before >= 30 for before, after in itertools.pairwise(places))
    assert "1:1" in {tick.text for tick in aspects.across}


def test_pictures_of_one_size_have_no_histogram(tmp_path):
    for n in range(4):
        draw_noise(tmp_path / "data" / "ab"[n % 2] / f"{n}.png", n)
    index = scan(tmp_path / "data")
    assert [one.title for one in draw_sizes(index, 48)] == []


def test_a_browser_shows_evil_names_without_a_word_and_asks_nobody(tmp_path, chromium, asked):
    paths, where = asked
    write_evil(tmp_path / "evil", where)
    report = write_inspection(tmp_path / "report.html", look(tmp_path / "evil"))
    log = chromium(report, tmp_path / "profile", "--dump-dom")
    assert "CONSOLE" not in log.stderr
    assert "What the network will see" in log.stdout
    assert paths == []


def test_the_browser_test_would_notice(tmp_path, chromium, asked):
    paths, where = asked
    page = tmp_path / "page.html"
    page.write_text(f'<!doctype html><title>x</title><img src="{where}/a.png" onerror="console.error(1)"><p>x</p>')
    log = chromium(page, tmp_path / "profile", "--dump-dom", "--virtual-time-budget=2000")
    assert paths == ["/a.png"]
    assert "CONSOLE" in log.stderr


@pytest.mark.parametrize("width", [320, 1100])
def test_nothing_is_wider_than_the_window(overhang, inspected, width):
    assert overhang(inspected[0].report, width) == 0
