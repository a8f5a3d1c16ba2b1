"""A manifest tells which pictures a classifier knows, under any name and through small changes."""

import hashlib

import cv2
import numpy as np
import pyarrow as pa
import pytest

from telltale.data.index import _SCHEMA
from telltale.data.manifest import ALIKE, CHOSE, NEW, TRAINED, Manifest
from telltale.data.measures import measure
from telltale.errors import BundleError


def draw_scene(number, height=48, width=64):
    """A picture with large and small patches of colour; no two numbers look alike."""
    rng = np.random.default_rng([7, number])
    scene = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((3, 60), (6, 45), (12, 30)):
        patches = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        scene += cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(scene + rng.uniform(70, 170, 3), 0, 255).astype(np.uint8)


def samples(*pictures):
    """The table of an index of these pictures; None cannot be read."""
    rows = []
    for number, pixels in enumerate(pictures):
        row = {"path": f"{number}.png", "label": "a", "bytes": 1, "digest": bytes(32), "error": "empty"}
        if pixels is not None:
            row |= {"pixels": hashlib.md5(pixels.tobytes()).digest(), "fingerprint": measure(pixels).fingerprint}
            row["error"] = None
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


SCENES = [draw_scene(number) for number in range(12)]
FLAT = np.full((9, 9, 3), 120, np.uint8)
PARTS = np.array([0, 0, 0, 1, 1, 2, -1, 0], np.int8)


@pytest.fixture(scope="module")
def manifest():
    """Three scenes and a flat picture were learned from, two chose, one tested, one could not be read."""
    return Manifest.of(samples(*SCENES[:6], None, FLAT), PARTS, 0.42)


def brighter(pixels):
    return np.clip(pixels * 1.1, 0, 255).astype(np.uint8)


def test_it_holds_what_was_learned_from_and_what_chose(manifest):
    assert len(manifest) == 6
    assert manifest.table.column("part").to_pylist() == [0, 0, 0, 1, 1, 0]
    assert manifest.table.column_names == ["pixels", "fingerprint", "part"]


def test_pictures_are_known_by_pixels_and_by_looks(manifest):
    table = samples(
        SCENES[0], brighter(SCENES[1]), SCENES[3], brighter(SCENES[4]), SCENES[5], SCENES[9], None, FLAT, FLAT + 1
    )
    expected = [TRAINED, ALIKE, CHOSE, NEW, NEW, NEW, NEW, TRAINED, NEW]
    assert manifest.look_up(table).tolist() == expected
    pieces = pa.concat_tables([table.slice(0, 2), table.slice(2, 5), table.slice(7)])
    assert manifest.look_up(pieces).tolist() == expected
    assert manifest.look_up(pieces.slice(1, 4)).tolist() == expected[1:5]


def test_learned_counts_before_alike_before_chose():
    both = Manifest.of(
        samples(SCENES[0], SCENES[0], SCENES[1], brighter(SCENES[1])), np.array([0, 1, 0, 1], np.int8), 0.42
    )
    assert both.look_up(samples(SCENES[0], SCENES[1], brighter(SCENES[1]))).tolist() == [TRAINED, TRAINED, ALIKE]


def test_a_radius_of_nothing_leaves_only_equal_looks(manifest):
    strict = Manifest(manifest.table, 0.0)
    assert strict.look_up(samples(SCENES[0], brighter(SCENES[1]))).tolist() == [TRAINED, NEW]


@pytest.mark.parametrize("parts", [[0, 0], [1, 1], [2, -1]], ids=["no validation", "no training", "neither"])
def test_empty_parts_know_nothing(parts):
    manifest = Manifest.of(samples(SCENES[0], None), np.array(parts, np.int8), 0.42)
    assert manifest.look_up(samples(SCENES[1], None)).tolist() == [NEW, NEW]
    assert manifest.look_up(samples()).tolist() == []
    assert manifest.look_up(samples(SCENES[0])).tolist() == [{0: TRAINED, 1: CHOSE, 2: NEW}[parts[0]]]


def test_joined_it_knows_what_both_know(manifest):
    later = Manifest.of(samples(SCENES[2], SCENES[3], SCENES[8], SCENES[9]), np.array([0, 1, 0, 1], np.int8), 0.3)
    joined = later.join(manifest)
    assert joined.radius == 0.42
    assert len(joined) == len({*range(10), "flat"} - {5, 6, 7})  # each picture once: 5 was tested, 6 and 7 nowhere
    asked = samples(*SCENES[:10], FLAT)
    one, other, both = (each.look_up(asked) for each in (later, manifest, joined))
    assert ((both == TRAINED) == ((one == TRAINED) | (other == TRAINED))).all()
    assert ((both == NEW) == ((one == NEW) & (other == NEW))).all()
    assert both[3] == CHOSE and both[0] == TRAINED and both[8] == TRAINED and both[5] == NEW
    # What was learned from once stays learned from, though it only chose later.
    again = Manifest.of(samples(SCENES[0]), np.array([1], np.int8), 0.42).join(manifest)
    assert again.look_up(samples(SCENES[0]))[0] == TRAINED


def test_it_comes_back_from_disk(manifest, tmp_path):
    again = Manifest.load(manifest.save(tmp_path / "training.arrow"))
    assert again.table.equals(manifest.table) and again.radius == manifest.radius
    empty = Manifest.of(samples(), np.zeros(0, np.int8), 0.1)
    assert len(Manifest.load(empty.save(tmp_path / "empty.arrow"))) == 0


@pytest.mark.parametrize("data", [None, b"", b"no arrow"], ids=["missing", "empty", "text"])
def test_a_file_that_is_no_manifest_is_refused(tmp_path, data):
    if data is not None:
        (tmp_path / "training.arrow").write_bytes(data)
    words = r"The list of training pictures '.*training.arrow' cannot be read \(.*A training.arrow that Telltale wrote"
    with pytest.raises(BundleError, match=words):
        Manifest.load(tmp_path / "training.arrow")


@pytest.mark.parametrize(
    ("facts", "version"),
    [
        ({"format_version": "2", "radius": "0.4"}, "'2'"),
        ({"format_version": "1", "radius": "-1"}, "'1'"),
        ({"format_version": "1"}, "'1'"),
        ({}, "None"),
    ],
    ids=["newer", "negative radius", "no radius", "nothing"],
)
def test_another_version_or_form_is_refused(manifest, tmp_path, facts, version):
    table = manifest.table.replace_schema_metadata(facts)
    with pa.OSFile(str(tmp_path / "training.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    words = rf"The list of training pictures '.*' has format version {version}\. Version 1\."
    with pytest.raises(BundleError, match=words):
        Manifest.load(tmp_path / "training.arrow")


def test_a_flipped_byte_is_a_clear_error_or_harmless(manifest, tmp_path):
    whole = manifest.save(tmp_path / "whole").read_bytes()
    path = tmp_path / "training.arrow"
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            found = Manifest.load(path)
        except BundleError:
            continue
        assert len(found.look_up(samples(SCENES[0]))) == 1
