"""Copies are found whatever was done to them, and different pictures are not joined."""

import hashlib
import io

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from telltale.data.duplicates import CHANCE, LEAST, RADIUS, find_duplicates, find_exact, fitting_radius
from telltale.data.fingerprint import BYTES
from telltale.data.index import _SCHEMA, Index, scan
from telltale.data.measures import measure


def draw_scene(number, height=96, width=128):
    """A picture with large and small patches of colour, as photos have them; no two numbers look alike."""
    rng = np.random.default_rng([7, number])
    scene = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((3, 60), (6, 45), (12, 30), (24, 15)):
        patches = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        scene += cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(scene + rng.uniform(70, 170, 3) + rng.normal(0, 4, scene.shape), 0, 255).astype(np.uint8)


def save_again(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def scale(pixels, factor):
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((round(image.width * factor), round(image.height * factor))))


def brighten(pixels, factor):
    return np.clip(pixels * factor, 0, 255).astype(np.uint8)


def crop(pixels):
    return pixels[1:-2, 2:-2]


def flip(pixels):
    return np.ascontiguousarray(pixels[:, ::-1])


CHANGES = {
    "saved again": lambda pixels: save_again(pixels, 40),
    "half": lambda pixels: scale(pixels, 0.5),
    "double": lambda pixels: scale(pixels, 2),
    "brighter": lambda pixels: brighten(pixels, 1.2),
    "darker": lambda pixels: brighten(pixels, 0.8),
    "cropped": crop,
    "all at once": lambda pixels: save_again(brighten(crop(scale(pixels, 0.8)), 1.15), 70),
}


def tabulate(rows):
    """An index of (pixels, fingerprint) without files; neither where a picture cannot be read."""
    table = [
        {"path": f"{n}.png", "label": "x", "bytes": 1, "digest": hashlib.sha256(str(n).encode()).digest()}
        | {"pixels": pixels, "fingerprint": look, "error": None if pixels else "truncated"}
        for n, (pixels, look) in enumerate(rows)
    ]
    return Index(pa.Table.from_pylist(table, schema=_SCHEMA), ("x",), "somewhere", "name", "class folders")


def describe(pixels):
    return hashlib.md5(str(pixels.shape).encode() + pixels.tobytes()).digest(), measure(pixels).fingerprint


def index_of(pictures):
    return tabulate([(None, None) if one is None else describe(one) for one in pictures])


def groups(numbers):
    """The rows of each group."""
    return [np.flatnonzero(numbers == number).tolist() for number in range(int(numbers.max(initial=-1)) + 1)]


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(number) for number in range(40)]


def test_copies_are_found_whatever_was_done_to_them(scenes):
    copies = [change(scenes[number]) for number, change in enumerate(CHANGES.values())]
    found = find_duplicates(index_of([*scenes, *copies]))
    assert groups(found.near) == [[number, 40 + number] for number in range(len(CHANGES))]
    assert (found.exact == -1).all()
    assert found.radius == RADIUS
    assert list(zip(found.pairs.left.tolist(), found.pairs.right.tolist(), strict=True)) == [
        (number, 40 + number) for number in range(len(CHANGES))
    ]


def test_all_copies_of_one_picture_are_one_group(scenes):
    found = find_duplicates(index_of([*scenes[:20], *(change(scenes[3]) for change in CHANGES.values())]))
    assert groups(found.near) == [[3, *range(20, 20 + len(CHANGES))]]


def test_different_pictures_are_not_joined(scenes):
    found = find_duplicates(index_of(scenes))
    assert (found.near == -1).all() and (found.exact == -1).all() and len(found.pairs) == 0


def test_mirrored_copies_count_only_where_that_is_asked_for(scenes):
    index = index_of([*scenes, flip(scenes[5]), save_again(flip(scenes[6]), 60), scenes[7]])
    assert groups(find_duplicates(index).near) == [[7, 42]]
    found = find_duplicates(index, mirrored=True)
    assert groups(found.near) == [[5, 40], [6, 41], [7, 42]]
    assert set(zip(found.pairs.left.tolist(), found.pairs.right.tolist(), strict=True)) == {(5, 40), (6, 41), (7, 42)}
    assert (found.pairs.left < found.pairs.right).all()


def test_a_symmetric_picture_is_no_pair_with_itself(scenes):
    symmetric = np.concatenate([scenes[0], flip(scenes[0])], axis=1)
    found = find_duplicates(index_of([symmetric, *scenes[1:9]]), mirrored=True)
    assert (found.near == -1).all() and len(found.pairs) == 0


def test_equal_pixels_are_told_from_equal_looks(scenes):
    flat = np.full((20, 30, 3), 200, np.uint8)
    pictures = [scenes[0], scenes[1], scenes[0], save_again(scenes[0], 80), flat, None, flat, None, flat + 1]
    found = find_duplicates(index_of(pictures))
    assert found.exact.tolist() == [0, -1, 0, -1, 1, -1, 1, -1, -1]
    assert found.near.tolist() == [0, -1, 0, 0, 1, -1, 1, -1, -1]
    only = find_exact(index_of(pictures))
    assert only.exact.tolist() == only.near.tolist() == found.exact.tolist()
    assert (len(only.pairs), only.radius) == (0, 0)


@pytest.mark.parametrize(
    "pictures",
    [[], [draw_scene(0)], [None], [None, None, None], [np.zeros((9, 9, 3), np.uint8)]],
    ids=["none", "one", "one that cannot be read", "three that cannot be read", "one that is flat"],
)
@pytest.mark.parametrize("mirrored", [False, True])
def test_where_there_is_nothing_to_compare(pictures, mirrored):
    found = find_duplicates(index_of(pictures), mirrored=mirrored)
    assert found.near.tolist() == found.exact.tolist() == [-1] * len(pictures)
    assert found.near.dtype == np.int64 and found.radius == RADIUS


def test_rows_of_several_chunks_and_slices_are_compared(scenes):
    whole = index_of([scenes[0], None, scenes[1], save_again(scenes[1], 70), scenes[0], scenes[2]])
    pieces = pa.concat_tables([whole.table.slice(0, 2), whole.table.slice(2, 3), whole.table.slice(5)])
    found = find_duplicates(Index(pieces, ("x",), "somewhere", "name", "class folders"))
    assert found.near.tolist() == [0, -1, 1, 1, 0, -1]
    part = find_duplicates(Index(pieces.slice(1, 4), ("x",), "somewhere", "name", "class folders"))
    assert part.near.tolist() == [-1, 0, 0, -1]


POOL = [describe(change(draw_scene(number))) for number in range(5) for change in CHANGES.values()] + [(None, None)]


@settings(max_examples=60, deadline=None)
@given(chosen=st.lists(st.integers(0, len(POOL) - 1), max_size=25), order=st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(chosen, order):
    places = list(range(len(chosen)))
    order.shuffle(places)
    for mirrored in (False, True):
        one = find_duplicates(tabulate([POOL[pick] for pick in chosen]), mirrored=mirrored)
        other = find_duplicates(tabulate([POOL[chosen[place]] for place in places]), mirrored=mirrored)
        for name in ("exact", "near"):
            first = {frozenset(rows) for rows in groups(getattr(one, name))}
            again = {frozenset(places[row] for row in rows) for rows in groups(getattr(other, name))}
            assert first == again


# --- collections whose pictures resemble each other


def film(frames):
    """A camera that slowly turns: each frame looks like the next, the first not like the last."""
    wide = draw_scene(1, height=96, width=128 + 2 * frames)
    return [wide[:, 2 * number : 2 * number + 128] for number in range(frames)]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_film_does_not_become_one_group(mirrored):
    frames = film(120)
    equal = [*frames, *(save_again(frame, 98) for frame in frames[::10]), *frames[5:8]]
    rows = [describe(one) for one in equal]
    found = find_duplicates(tabulate(rows), mirrored=mirrored)
    assert len(groups(found.near)) > 3 and max(map(len, groups(found.near))) < 80
    for number, row in enumerate(range(len(equal) - 3, len(equal))):
        assert found.near[row] == found.near[5 + number], "equal pictures stay together wherever a chain is cut"
    for one, other in zip(found.pairs.left, found.pairs.right, strict=True):
        if rows[one][1] == rows[other][1]:
            assert found.near[one] == found.near[other]


def test_pictures_that_resemble_each_other_anyway_shrink_the_radius():
    rng = np.random.default_rng(0)
    plate = cv2.GaussianBlur(draw_scene(3)[..., 1], (0, 0), 6).astype(np.float32)
    alike = []
    for _ in range(500):
        own = cv2.resize(rng.normal(0, 9, (6, 6)).astype(np.float32), (128, 96), interpolation=cv2.INTER_CUBIC)
        alike.append(np.repeat(np.clip(plate + own, 0, 255).astype(np.uint8)[..., None], 3, axis=2))
    copies = [save_again(one, 60) for one in alike[:30]]
    found = find_duplicates(index_of([*alike, *copies]))
    assert found.radius < RADIUS / 1.5
    assert sum(one >= 500 or other < 500 for one, other in zip(found.pairs.left, found.pairs.right, strict=True)) <= 1
    together = [found.near[number] >= 0 and found.near[number] == found.near[500 + number] for number in range(30)]
    assert sum(together) >= 29


def test_the_radius_stays_where_copies_are_few_or_many(scenes):
    looks = [np.frombuffer(measure(one).fingerprint, np.int8) for one in scenes]
    assert fitting_radius(np.stack(looks)) == RADIUS
    assert fitting_radius(np.stack(looks * 5)) == RADIUS
    assert fitting_radius(np.zeros((0, BYTES), np.int8)) == RADIUS
    rng = np.random.default_rng(0)
    crowd = rng.integers(-3, 4, (600, BYTES)).astype(np.int8)
    assert LEAST <= fitting_radius(crowd) < RADIUS
    assert fitting_radius(crowd) == fitting_radius(crowd)
    assert CHANCE == 1e-6


def cut(pixels, share):
    rows, columns = (round(side * share) for side in pixels.shape[:2])
    return pixels[rows:, columns:]


@pytest.mark.parametrize("copied", [0, 12, 60, 150, 300])
@pytest.mark.parametrize("share", [0.03, 0.08])
def test_copies_do_not_shrink_the_radius_however_many_there_are(copied, share):
    drawn = [draw_scene(number) for number in range(300)]
    originals = [np.frombuffer(describe(one)[1], np.int8) for one in drawn]
    copies = [np.frombuffer(describe(cut(one, share))[1], np.int8) for one in drawn[:copied]]
    assert fitting_radius(np.stack(originals + copies)) == RADIUS


def test_several_copies_of_each_do_not_shrink_the_radius():
    drawn = [draw_scene(number) for number in range(80)]
    changed = [[cut(one, 0.01 * step) for step in range(6)] for one in drawn]
    looks = [np.frombuffer(describe(one)[1], np.int8) for ones in changed for one in ones]
    assert fitting_radius(np.stack(looks)) >= 0.9 * RADIUS


def test_files_are_compared_by_what_the_scan_saw(tmp_path, scenes):
    for number, scene in enumerate(scenes[:4]):
        (tmp_path / "pictures" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene).save(tmp_path / "pictures" / "ab"[number % 2] / f"{number}.png")
    Image.fromarray(scenes[1]).save(tmp_path / "pictures" / "a" / "copy.jpg", quality=50)
    Image.fromarray(scenes[2]).save(tmp_path / "pictures" / "b" / "same.bmp")
    (tmp_path / "pictures" / "b" / "broken.png").write_bytes(b"")
    index = scan(tmp_path / "pictures")
    found = find_duplicates(index)
    assert [{index.paths[row] for row in rows} for rows in groups(found.near)] == [
        {"a/2.png", "b/same.bmp"},
        {"a/copy.jpg", "b/1.png"},
    ]
    assert [{index.paths[row] for row in rows} for rows in groups(found.exact)] == [{"a/2.png", "b/same.bmp"}]
