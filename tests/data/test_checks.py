"""Every check finds the picture that was drawn for it, and says nothing about pictures that are fine."""

import io
import math
import shutil

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageFilter

from telltale.data.checks import CHECKS, FEW, describe_checks
from telltale.data.duplicates import find_exact
from telltale.data.facts import FACTS
from telltale.data.findings import inspect
from telltale.data.index import Index, scan
from telltale.data.samples import draw_samples
from telltale.data.subject import Subject

SIZE = (128, 96)
NAMES = [check.name for check in CHECKS]
TOGETHER = ("grey among colour", "odd size")
"""Checks of one picture that depend on what the others are like."""


def draw_photo(seed, size=SIZE):
    """Coloured patches with sharp edges, a gradient over them and a little noise: all tones, as a photo has."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize(size, Image.NEAREST)
    shade = np.linspace(0.4, 1, size[0])[None, :, None]
    return Image.fromarray(
        np.clip(np.asarray(image) * shade + rng.normal(0, 3, (size[1], size[0], 3)), 0, 255).astype("u1")
    )


def encode(image, kind="JPEG", **options):
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 90} if kind == "JPEG" else {}) | options)
    return file.getvalue()


def scale(image, factor, offset=0):
    return Image.fromarray(np.clip(np.asarray(image, np.float32) * factor + offset, 0, 255).astype(np.uint8))


def turned():
    tags = Image.Exif()
    tags[0x0112] = 6
    return tags.tobytes()


PHOTO = draw_photo(1000)
FIRST = encode(draw_photo(0))
"""The file train/ant/0.jpg."""

PLANTED = {
    "unreadable": {"train/ant/bad.jpg": FIRST[:900]},
    "duplicate with another label": {"train/bee/bad.jpg": FIRST},
    "duplicate across given splits": {"test/ant/bad.jpg": FIRST},
    "exact duplicate": {"train/ant/bad.png": encode(Image.open(io.BytesIO(FIRST)), "PNG")},
    "near-duplicate": {"train/ant/bad.jpg": encode(draw_photo(0), quality=50)},
    "blank": {"train/ant/bad.png": encode(Image.new("RGB", SIZE, (200, 30, 30)), "PNG")},
    "blurred": {"train/ant/bad.jpg": encode(PHOTO.filter(ImageFilter.GaussianBlur(2)))},
    "dark": {"train/ant/bad.jpg": encode(scale(PHOTO, 0.2))},
    "bright": {"train/ant/bad.jpg": encode(scale(PHOTO, 2, 140))},
    "low contrast": {"train/ant/bad.jpg": encode(scale(PHOTO, 0.2, 100))},
    "tiny": {"train/ant/bad.png": encode(PHOTO.resize((40, 30)), "PNG")},
    "grey among colour": {"train/ant/bad.jpg": encode(PHOTO.convert("L"))},
    "odd aspect": {"train/ant/bad.jpg": encode(draw_photo(1000, (400, 100)))},
    "odd size": {"train/ant/bad.jpg": encode(draw_photo(1000, (130, 96)))},
    "odd colour mode": {"train/ant/bad.jpg": encode(PHOTO.convert("CMYK"))},
    "animated": {"train/ant/bad.gif": encode(PHOTO, "GIF", save_all=True, append_images=[draw_photo(1001)])},
    "wrong extension": {"train/ant/bad.JPG": encode(PHOTO, "PNG")},
    "rotated by EXIF": {"train/ant/bad.jpg": encode(draw_photo(1000, (96, 128)), exif=turned())},
    "huge": {"train/ant/bad.jpg": encode(PHOTO.resize((5200, 5000), Image.NEAREST))},
}
"""What to add to the clean pictures so that a check reports exactly that."""


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """36 pictures of two classes in a training and a test part, with nothing wrong."""
    root = tmp_path_factory.mktemp("clean") / "insects"
    places = [("train", "ant"), ("train", "ant"), ("train", "bee"), ("train", "bee"), ("test", "ant"), ("test", "bee")]
    for number in range(36):
        folder = root.joinpath(*places[number % len(places)])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(encode(draw_photo(number)))
    return root


def test_nothing_is_said_about_pictures_that_are_fine(clean):
    findings = inspect(scan(clean))
    assert len(findings) == 0 and findings.usual == {} and set(findings.counts.values()) == {0}
    assert list(findings.counts) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_check_finds_what_was_planted_for_it(name, clean, tmp_path):
    root = shutil.copytree(clean, tmp_path / "insects")
    for path, data in PLANTED[name].items():
        (root / path).write_bytes(data)
    findings = inspect(scan(root))
    found = findings.of(name).to_pylist()
    assert [row["path"] for row in found] == list(PLANTED[name])
    assert findings.index.paths[found[0]["row"]] == found[0]["path"] and found[0]["label"]
    assert found[0]["detail"] and "{" not in found[0]["detail"]
    assert (found[0]["other"] == "train/ant/0.jpg") == ("duplicate" in name)


def test_every_check_has_a_picture_and_the_checks_have_different_names():
    assert sorted(PLANTED) == sorted(set(NAMES)) and len(set(NAMES)) == len(CHECKS)


@pytest.mark.parametrize("check", CHECKS, ids=NAMES)
def test_a_check_is_described_for_people(check):
    assert check.says.endswith(".") and len(check.says) <= 120
    assert check.measure.__doc__ and check.detail
    assert f"| {check.name} |" in describe_checks() and check.says in describe_checks()


@pytest.mark.parametrize("check", CHECKS, ids=NAMES)
def test_a_check_of_no_pictures_finds_nothing(check):
    rows, values = check.find(Subject(make_index([]), find_exact(make_index([]))))
    assert len(rows) == len(values) == 0


def test_the_built_in_pictures_have_what_was_planted_in_them(tmp_path):
    samples = draw_samples(tmp_path / "shapes", count=120)
    findings = inspect(scan(samples.folder))
    found = {name: findings.of(name).column("path").to_pylist() for name in NAMES}
    assert set(found["unreadable"]) == {*samples.planted["truncated"], *samples.planted["html"]}
    assert found["exact duplicate"] == sorted(samples.planted["copies"])[1:]
    assert set(found["odd size"]) == set(samples.planted["odd_size"])
    assert not found["blurred"] and not found["dark"] and not found["grey among colour"] and not findings.usual


def test_plain_drawings_are_not_blurred(tmp_path):
    for number in range(20):
        side = (100, 200, 250, 400)[number % 4]
        down, across = np.mgrid[0:side, 0:side]
        inside = np.hypot(down - side / 2, across - side / 2) < side * (0.15 + 0.015 * number)
        pixels = np.where(inside[..., None], [200, 60, 30], [240, 240, 250]).astype(np.uint8)
        (tmp_path / f"{number % 2}").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"{number % 2}" / f"{number}.png")
    assert inspect(scan(tmp_path)).counts["blurred"] == 0


@pytest.mark.parametrize(
    ("change", "name"),
    [(lambda image: scale(image, 0.15), "dark"), (lambda image: image.resize((28, 28)), "tiny")],
    ids=["dark", "tiny"],
)
def test_what_most_pictures_have_is_said_once(change, name, tmp_path):
    for number in range(2 * FEW):
        folder = tmp_path / ("ant" if number % 2 else "bee")
        folder.mkdir(exist_ok=True)
        image = draw_photo(number)
        (change(image) if number > 4 else image).save(folder / f"{number}.png")
    findings = inspect(scan(tmp_path))
    assert findings.usual[name] == 2 * FEW - 5 and findings.counts[name] == 0
    assert any(text.startswith(f"{name}: 15 of 20 pictures.") for text in findings.remarks)
    assert f"{name}: 15 of 20 pictures." in str(findings)


def test_grey_pictures_among_grey_ones_are_fine(tmp_path):
    for number in range(20):
        folder = tmp_path / ("ant" if number % 2 else "bee")
        folder.mkdir(exist_ok=True)
        image = draw_photo(number)
        (image.convert("L") if number % 4 else image).save(folder / f"{number}.png")
    findings = inspect(scan(tmp_path))
    assert findings.counts["grey among colour"] == 0 and not findings.usual
    assert "15 grey." in " ".join(str(findings).split())


def make_index(rows):
    """An index without files from facts; what they leave out is that of a fine picture."""
    fine = {"width": 200, "height": 160, "format": "JPEG", "mode": "RGB", "orientation": 1, "frames": 1}
    fine |= {"brightness": 0.5, "contrast": 0.2, "low": 0.1, "high": 0.9, "sharpness": 0.6, "colour": 0.1}
    fine |= {"label": "a", "split": None, "group": None, "bytes": 1, "digest": bytes(32)}
    whole = [
        fine | {"path": f"{number}.jpg", "pixels": number.to_bytes(16, "big")} | row for number, row in enumerate(rows)
    ]
    texts = [(name, pa.string()) for name in ("path", "label", "split", "group")]
    schema = pa.schema([*texts, ("bytes", pa.int64()), ("digest", pa.binary(32)), *FACTS])
    return Index(pa.Table.from_pylist(whole, schema=schema), ("a", "b"), "somewhere", "name", "class folders")


SHARE = st.floats(0, 1, width=32)
FACT = st.fixed_dictionaries(
    {"pixels": st.integers(0, 8).map(lambda number: number.to_bytes(16, "big"))},
    optional={
        "brightness": SHARE,
        "contrast": st.floats(0, 0.5, width=32),
        "low": SHARE,
        "high": SHARE,
        "sharpness": st.floats(0, 3, width=32),
        "colour": SHARE,
        "width": st.integers(1, 9000),
        "height": st.integers(1, 9000),
        "mode": st.sampled_from(["RGB", "CMYK", "I;16", "L"]),
        "format": st.sampled_from(["JPEG", "PNG", "GIF"]),
        "orientation": st.integers(1, 8),
        "frames": st.integers(1, 3),
        "label": st.sampled_from(["a", "b", None]),
        "split": st.sampled_from(["train", "test", None]),
        "error": st.sampled_from([None, None, "truncated"]),
    },
)


def found(check, index):
    """Path and measure of every picture that one check reports."""
    rows, values = check.find(Subject(index, find_exact(index)))
    return {index.paths[row]: value for row, value in zip(rows.tolist(), values.tolist(), strict=True)}


@settings(max_examples=50, deadline=None)
@given(st.lists(FACT, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows, random):
    index = make_index(rows)
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled = index.take(np.array(order, np.int64))
    for check in CHECKS:
        if check.partners is None:
            assert found(check, shuffled) == found(check, index), check.name
        else:  # which one of several is the copy depends on the order, how many are copies does not
            assert len(found(check, shuffled)) == len(found(check, index)), check.name


@settings(max_examples=50, deadline=None)
@given(st.lists(FACT, min_size=1, max_size=12), st.data())
def test_a_check_of_one_picture_does_not_depend_on_the_others(rows, data):
    index = make_index(rows)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True))
    part = index.take(np.array(chosen, np.int64))
    for check in CHECKS:
        if check.partners is None and check.name not in TOGETHER:
            whole = found(check, index)
            assert found(check, part) == {path: whole[path] for path in part.paths if path in whole}, check.name


@settings(max_examples=50, deadline=None)
@given(st.lists(FACT, max_size=12))
def test_the_worst_come_first_and_all_are_beyond_the_threshold(rows):
    index = make_index(rows)
    for check in CHECKS:
        numbers, values = check.find(Subject(index, find_exact(index)))
        assert len(set(numbers.tolist())) == len(numbers)
        if check.below is None:
            assert (values > check.above).all() and (np.diff(values) <= 0).all()
        else:
            assert (values < check.below).all() and (np.diff(values) >= 0).all()


def test_of_duplicates_with_several_labels_the_rare_label_is_reported():
    same = {"pixels": bytes(16)}
    index = make_index([same | {"label": "b"}, same, same | {"label": "a"}, same | {"label": None}, {}])
    findings = inspect(index)
    rows = findings.of("duplicate with another label").to_pylist()
    assert [(row["path"], row["other"]) for row in rows] == [("0.jpg", "1.jpg")]
    assert rows[0]["detail"] == "labelled 'b', but has the same pixels as '1.jpg', labelled 'a'"
    assert findings.of("exact duplicate").column("other").to_pylist() == ["0.jpg"] * 3


def test_a_copy_across_splits_names_both_parts():
    same = {"pixels": bytes(16)}
    index = make_index([same | {"split": "test"}, same | {"split": "train"}, {"split": "train"}, {"split": "test"}])
    rows = inspect(index).of("duplicate across given splits").to_pylist()
    assert [row["detail"] for row in rows] == ["in test, but has the same pixels as '1.jpg' in train"]


def test_a_group_across_splits_is_reported():
    rows = [{"split": "train", "group": "x"}, {"split": "test", "group": "x"}, {"split": "test", "group": "y"}]
    found = inspect(make_index(rows)).of("duplicate across given splits").to_pylist()
    assert [row["detail"] for row in found] == ["in test, but is of the same group as '0.jpg' in train"]


def test_what_a_name_ends_in_is_compared_with_what_is_in_the_file():
    names = {"a.PNG": "PNG", "b.jpeg": "PNG", "c": "PNG", "d.tar.gif": "JPEG", "e.dat": "JPEG", "f.x/g": "GIF"}
    index = make_index([{"path": path, "format": form} for path, form in names.items()])
    rows = inspect(index).of("wrong extension").to_pylist()
    assert [(row["path"], row["detail"]) for row in rows] == [
        ("b.jpeg", "PNG, but named .jpeg"),
        ("d.tar.gif", "JPEG, but named .gif"),
    ]


def test_a_hundred_thousand_rows():
    count = 100_000
    rng = np.random.default_rng(0)
    table = make_index([{}]).table.take(pa.array(np.zeros(count, np.int64)))
    bright = rng.uniform(0.3, 0.86, count).astype(np.float32)
    pixels = rng.permutation(count).astype(">i8")
    pixels[-7:] = pixels[:7]
    whole = np.zeros((count, 16), np.uint8)
    whole[:, :8] = pixels.view(np.uint8).reshape(count, 8)
    hashes = pa.Array.from_buffers(pa.binary(16), count, [None, pa.py_buffer(whole.tobytes())])
    for name, values in (("brightness", pa.array(bright)), ("pixels", hashes)):
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
    findings = inspect(Index(table, ("a", "b"), "somewhere", "name", "class folders"))
    wanted = np.flatnonzero(bright > np.float32(0.85))
    assert sorted(findings.of("bright").column("row").to_pylist()) == wanted.tolist()
    assert findings.of("exact duplicate").column("row").to_pylist() == list(range(count - 7, count))
    assert math.isclose(max(findings.of("bright").column("value").to_pylist()), float(bright.max()))
