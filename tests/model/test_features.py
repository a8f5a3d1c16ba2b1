"""Features are computed once for a picture, whatever its name, and are the same however they came about."""

import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from telltale.batches.preprocess import Preprocess
from telltale.cache import digest_matrix
from telltale.data.index import scan
from telltale.errors import DataError, OutputError
from telltale.model import features as module
from telltale.model.features import Extractor, FeatureStream, features

SIDE = 64


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Features of one test are not those of another; the converted network itself lies where it lay."""
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def extractor(backbone) -> Extractor:
    return Extractor(backbone, Preprocess(SIDE, "crop", backbone.mean, backbone.std), "f32")


class Conversion:
    """A `PendingBackbone` whose end a test decides: what `FeatureStream` needs of one."""

    def __init__(self, backbone) -> None:
        self.backbone = backbone
        self.done = threading.Event()
        self.waited = 0

    def ready(self) -> bool:
        return self.done.is_set()

    def result(self):
        self.waited += not self.done.is_set()
        assert self.done.wait(60)
        return self.backbone


def stream(backbone, *, size: int = SIDE, done: bool = True) -> FeatureStream:
    """A stream whose network is there, or not yet."""
    pending = Conversion(backbone)
    if done:
        pending.done.set()
    return FeatureStream(pending, size=size, resize="crop", precision="f32", device="cpu")


def opened(extractor: Extractor) -> bool:
    """Was the network loaded?"""
    return bool(extractor._open)


def test_features_of_the_scan_are_those_computed_afterwards(pictures, extractor, tmp_path, monkeypatch):
    watcher = stream(extractor.backbone)
    index = scan(pictures, watcher=watcher)
    finished = watcher.finish()
    assert finished == extractor
    during = features(index, replace(finished, _open=[]))
    monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path / "other"))
    after = features(index, extractor)
    assert during.shape == (40, extractor.backbone.dimension)
    np.testing.assert_array_equal(during, after)
    np.testing.assert_array_equal(features(scan(pictures, threads=1), replace(extractor, _open=[])), after)


def test_the_second_time_no_network_is_loaded(pictures, extractor):
    index = scan(pictures)
    first = features(index, extractor)
    assert opened(extractor)
    again = replace(extractor, _open=[])
    np.testing.assert_array_equal(features(index, again), first)
    order = np.random.default_rng(0).permutation(40)
    np.testing.assert_array_equal(features(index.take(order), again), first[order])
    assert not opened(again)


def test_names_do_not_matter(pictures, extractor, tmp_path):
    first = features(scan(pictures), extractor)
    shutil.copytree(pictures, tmp_path / "moved", copy_function=lambda old, new: shutil.copy(old, f"{new}.png"))
    again = replace(extractor, _open=[])
    np.testing.assert_array_equal(features(scan(tmp_path / "moved"), again), first)
    assert not opened(again)


def test_of_added_pictures_only_the_new_are_computed(pictures, extractor):
    first = features(scan(pictures), extractor)
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (50, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / "red" / f"zz-{number}.png")
    shutil.copy(pictures / "red" / "zz-0.png", pictures / "red" / "zz-copy.png")
    told = []
    index = scan(pictures)
    matrix = features(index, extractor, tell=told.append)
    assert [(one.stage, one.done, one.total) for one in told] == [("compute features", 3, 3)]
    assert len(extractor.cache()) == 43
    new = np.array(["zz-" in path for path in index.paths])
    np.testing.assert_array_equal(matrix[~new], first)
    rows = {path: row for path, row in zip(index.paths, matrix, strict=True)}
    np.testing.assert_array_equal(rows["red/zz-0.png"], rows["red/zz-copy.png"])
    assert not np.array_equal(rows["red/zz-0.png"], rows["red/zz-1.png"])


def test_a_known_picture_is_not_wanted_again(pictures, extractor):
    index = scan(pictures)
    features(index.take(np.arange(10)), extractor)
    watcher = stream(extractor.backbone)
    digests = index.table.column("digest").to_pylist()
    assert [watcher.wants(digest) for digest in digests] == [False] * 10 + [True] * 30
    scan(pictures, watcher=watcher)
    finished = watcher.finish()
    assert len(finished.cache()) == 40
    assert sum(1 for _ in finished.cache().folder.glob("*.arrow")) == 2


@pytest.mark.parametrize("change", ["other pixels", "cut", "gone"])
def test_a_picture_that_changed_after_the_scan_is_named(pictures, extractor, change):
    index = scan(pictures)
    path = pictures / "blue" / "blue-3.png"
    if change == "gone":
        path.unlink()
    elif change == "cut":
        path.write_bytes(path.read_bytes()[:200])
    else:
        Image.new("RGB", (40, 40), "white").save(path)
    words = r"The picture 'blue/blue-3.png' has changed since it was scanned \(.+\)\. .* Run the command again"
    with pytest.raises(DataError, match=words):
        features(index, extractor)


def test_everything_that_decides_features_decides_the_cache(pictures, extractor):
    backbone = extractor.backbone
    others = [
        extractor,
        replace(extractor, preprocess=replace(extractor.preprocess, resize="squash")),
        replace(extractor, preprocess=replace(extractor.preprocess, mean=(0.1, 0.2, 0.3))),
        replace(extractor, precision="bf16"),
        replace(extractor, backbone=replace(backbone, weights_hash="0" * 64)),
        replace(extractor, backbone=replace(backbone, converted=False)),
    ]
    assert len({one.cache().folder for one in others}) == len(others)
    index = scan(pictures)
    features(index, extractor)
    assert len(others[1].cache()) == 0
    assert not np.array_equal(features(index, others[1]), features(index, extractor))


def test_pictures_wait_while_the_network_is_converted(pictures, extractor):
    watcher = stream(extractor.backbone, done=False)
    index = scan(pictures, watcher=watcher)
    assert len(extractor.cache()) == 0, "nothing is computed before there is a network"
    assert watcher._pending.waited == 0, "and nobody waits for it"
    watcher._pending.done.set()
    finished = watcher.finish()
    assert len(finished.cache()) == 40
    again = replace(extractor, _open=[])
    matrix = features(index, again)
    assert not opened(again)
    shutil.rmtree(extractor.cache().folder)
    np.testing.assert_array_equal(features(index, extractor), matrix)


def test_no_more_pictures_wait_than_memory_allows(pictures, extractor, monkeypatch):
    monkeypatch.setattr(module, "_PARKED_BYTES", 20 * SIDE * SIDE * 3)
    watcher = stream(extractor.backbone, done=False)
    timer = threading.Timer(0.5, watcher._pending.done.set)
    timer.start()
    index = scan(pictures, watcher=watcher)
    timer.join()
    assert watcher._pending.waited > 0, "the scan had to wait"
    finished = replace(watcher.finish(), _open=[])
    features(index, finished)
    assert not opened(finished)


def test_a_wrong_guess_of_the_size_costs_time_only(pictures, extractor):
    watcher = stream(extractor.backbone, size=0)
    index = scan(pictures, watcher=watcher)
    finished = watcher.finish()
    assert finished.preprocess == extractor.preprocess
    assert len(finished.cache()) == 0
    assert features(index, finished).shape == (40, extractor.backbone.dimension)


def test_a_large_matrix_lies_in_a_file(pictures, extractor, monkeypatch):
    index = scan(pictures)
    expected = features(index, extractor)
    monkeypatch.setattr(module, "_IN_MEMORY_BYTES", 1000)
    matrix = features(index, extractor)
    assert isinstance(matrix, np.memmap)
    np.testing.assert_array_equal(matrix, expected)


def test_features_are_written_in_pieces(pictures, extractor, monkeypatch):
    monkeypatch.setattr(module, "_FLUSH_BYTES", 10 * extractor.backbone.dimension * 4)
    watcher = stream(extractor.backbone)
    index = scan(pictures, watcher=watcher)
    cache = watcher.finish().cache()
    assert len(cache) == 40
    assert len(list(cache.folder.glob("*.arrow"))) > 1
    assert features(index, extractor).shape == (40, extractor.backbone.dimension)
    assert not opened(extractor)


def test_a_cache_that_is_emptied_meanwhile_gives_no_made_up_features(extractor, pictures, monkeypatch):
    monkeypatch.setattr(module, "_FLUSH_BYTES", 0)

    def empty(message):
        for path in extractor.cache().folder.glob("*.arrow"):
            path.unlink()

    with pytest.raises(OutputError, match="Features that were just written are gone from"):
        features(scan(pictures), extractor, tell=empty)


def test_what_a_stream_computed_before_an_interruption_is_kept(extractor, backbone, pictures):
    seen = stream(backbone)
    index = scan(pictures, watcher=seen)
    seen.flush()
    assert (extractor.cache().find(digest_matrix(index.table.column("digest"))) >= 0).all()
