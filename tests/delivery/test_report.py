"""The report: says what it must, escapes what it is given, fetches nothing."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from telltale.delivery.chart import draw_lines, ticks
from telltale.delivery.page import thumbnail
from telltale.delivery.report import MOST_MISTAKES, ReportContent, render, write_report
from telltale.errors import OutputError
from telltale.evaluation.evaluation import score

VOID = {"meta", "br", "img", "rect", "line", "circle", "polyline"}


class Page(HTMLParser):
    """Tags, addresses and text of a page; balanced or not."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.words, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "action", "data")]
        assert not [name for name, _ in attributes if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def evaluated(classes=("cats", "dogs"), images=250, wrong=20, name="test"):
    generator = np.random.default_rng(0)
    labels = np.arange(images) % len(classes)
    said = np.where(np.arange(images) < wrong, (labels + 1) % len(classes), labels)
    probabilities = np.eye(len(classes))[said] * 0.7 + 0.3 * generator.dirichlet(np.ones(len(classes)), images)
    return score(labels, probabilities, classes, paths=[f"{name}/{row}.jpg" for row in range(images)])


def full(classes=("cats", "dogs"), **changes):
    test = evaluated(classes)
    picture = thumbnail(np.full((300, 400, 3), 90, np.uint8))
    content = ReportContent(
        title="pets",
        evaluations={"validation": evaluated(classes, 500, 30, "validation"), "test": test},
        facts={"model": "mobilenetv2_035"},
        notes=["Half of validation became the test part."],
        class_counts={name: {"train": 1000, "validation": 250, "test": 125} for name in classes},
        quarantine=[("cats/1.jpg", "truncated", "The file ends too early."), ("cats/2.jpg", "empty", "No bytes.")],
        identical=[("cats/3.jpg", "cats/3 (copy).jpg")],
        history=[{"epoch": n, "train_loss": 1 / n, "val_loss": 2 / n, "val_accuracy": 1 - 1 / n} for n in (1, 2, 3)],
        settings={"epochs": 20, "flip": True, "weights": ""},
        versions={"telltale": "0.1.0"},
        thumbnails={one.path: picture for one in test.mistakes(5)},
        created="2026-01-05 12:00 UTC",
    )
    return replace(content, **changes)


def test_verdict_comes_first_and_is_about_the_test_pictures():
    text = Page(render(full())).text
    verdict = (
        "On 250 test pictures never used in training: 92.0 % right, 95 % interval 88.0 to 94.8 %. "
        "Always saying 'cats' would be 50.0 % right."
    )
    assert verdict in text
    assert text.index(verdict) < text.index("How good it is")


@pytest.mark.parametrize(
    "words",
    [
        "validation, 500 pictures",
        "test, 250 pictures",
        "balanced accuracy",
        "Half of validation became the test part.",
        "2 set aside, used nowhere: 1 truncated, 1 empty.",
        "The file ends too early.",
        "cats/3.jpg = cats/3 (copy).jpg",
        "train_loss",
        "val_accuracy",
        "1,375",
        "mobilenetv2_035",
        "Made by Telltale, 2026-01-05 12:00 UTC.",
    ],
)
def test_report_says(words):
    assert words in Page(render(full())).text


def test_what_the_network_sees_is_shown_as_a_small_picture():
    noise = np.random.default_rng(0).integers(0, 256, (600, 900, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    page = Page(render(full(preview=file.getvalue())))
    assert "What the network sees" in page.text
    shown = max(page.addresses, key=len)
    assert shown.startswith("data:image/jpeg;base64,")
    assert len(shown) < len(file.getvalue())
    assert "What the network sees" not in Page(render(full())).text


def test_epoch_0_is_explained_where_there_is_one():
    words = "Epoch 0 is the probe, where the training starts: only the head has learned."
    history = full().history
    assert words not in Page(render(full())).text
    probe = {"epoch": 0, "train_loss": 0.5, "val_loss": 0.4, "val_accuracy": 0.9}
    page = Page(render(full(history=[probe, *history])))
    assert words in page.text
    assert len(page.tags) > len(Page(render(full(history=history))).tags)  # one more tick


def test_settings_read_as_words():
    text = Page(render(full(settings={"augment": ("flip", "rotation=10"), "clip": 0.0, "pool": "", "views": 0}))).text
    assert "augment flip, rotation=10 clip 0.0 pool \N{EN DASH} views 0" in text
    assert "augment \N{EN DASH} fix_leaks no" in Page(render(full(settings={"augment": (), "fix_leaks": False}))).text


def test_many_mistakes_are_cut_and_counted():
    text = Page(render(full(evaluations={"test": evaluated(wrong=60)}))).text
    assert f"The {MOST_MISTAKES} most confident of 60 mistakes." in text


def test_names_are_escaped():
    evil = "<script>alert('1')</script>"
    content = full(
        (evil, '"><img src=x onerror=alert(1)>', "ok"),
        title=evil,
        notes=[evil],
        facts={evil: evil},
        quarantine=[(evil, evil, evil)],
        identical=[(evil, evil)],
        history=[{"epoch": 1, f"{evil}loss": 1.0}],
        settings={evil: evil},
        versions={evil: evil},
    )
    page = Page(render(content))
    assert "script" not in page.tags
    assert page.tags.count("img") == 5
    assert evil in page.text
    assert all(address.startswith("data:image/") for address in page.addresses)


@pytest.mark.parametrize("count", [2, 12, 13, 40])
def test_page_is_balanced_and_fetches_nothing(count):
    text = render(full(tuple(f"class {number}" for number in range(count))))
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(page.tags)
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not re.search(r"url\(|@import|https?:", text)
    assert "default-src 'none'" in text
    pictures = [address for address in page.addresses if address.startswith("data:image/png")]
    assert len(pictures) == (count > 12)


def test_report_of_almost_nothing():
    content = ReportContent("bare", {"validation": evaluated(wrong=0)})
    text = Page(render(content)).text
    assert "On 250 validation pictures, which also chose between settings: 100.0 % right" in text
    assert "None: all 250 pictures are right." in text
    assert "Training" not in text


def test_only_small_jpegs_become_thumbnails():
    paths = [one.path for one in evaluated().mistakes(3)]
    wrong = {paths[0]: b"<svg onload=alert(1)>", paths[1]: b"\xff\xd8\xff" + bytes(50_000)}
    page = Page(render(full(thumbnails={**wrong, paths[2]: thumbnail(np.zeros((900, 30, 3), np.uint8))})))
    assert page.tags.count("img") == 1


def test_long_lists_are_cut_and_counted():
    content = full(quarantine=[(f"{n}.jpg", "empty", "") for n in range(1060)], identical=[("a", "b")] * 60)
    text = Page(render(content)).text
    assert "1,060 set aside" in text
    assert "… and 1,010 more." in text
    assert "… and 10 more." in text


def test_write_report_takes_file_names_that_are_no_utf8(tmp_path):
    path = write_report(tmp_path / "report.html", full(quarantine=[("caf\udce9.jpg", "empty", "No bytes.")]))
    assert "caf?.jpg" in path.read_text(encoding="utf-8")


def test_write_report_explains_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(tmp_path / "file" / "report.html", full())


def test_thumbnail_is_small():
    picture = thumbnail(np.random.default_rng(0).integers(0, 255, (1000, 2000, 3), np.uint8))
    assert len(picture) < 20_000


def test_chart_breaks_where_numbers_are_missing():
    rows = [{"epoch": n, "loss": value} for n, value in enumerate([1.0, 0.5, float("nan"), 0.4, None, 0.3])]
    chart = draw_lines("Loss", rows, ["loss"])
    assert [len(piece.split()) for piece in chart.lines[0].pieces] == [2, 1, 1]


@pytest.mark.parametrize("rows", [[], [{"epoch": 1, "loss": float("nan")}], [{"epoch": 1}]], ids=str)
def test_chart_of_nothing_is_none(rows):
    assert draw_lines("Loss", rows, ["loss"]) is None


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.13, 0.87), (2.3, 2.3), (1e-6, 3e-6), (-5, 1200), (0.98, 1.0)])
def test_ticks_are_few_and_cover(low, high):
    places = ticks(low, high)
    assert 2 <= len(places) <= 8
    assert places[0] <= low + 1e-9
    assert places[-1] >= high - 1e-9
