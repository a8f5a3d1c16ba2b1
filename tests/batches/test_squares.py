"""Squares are decoded once and found by content, byte for byte as prediction sees them; damage is a miss, no error."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from telltale.batches import squares as module
from telltale.batches.preprocess import RESIZES, Preprocess
from telltale.batches.squares import SquareCache, SquareStream, SquareWriter, Watchers
from telltale.cache import digest_matrix
from telltale.data.decoding import decode
from telltale.data.index import scan
from telltale.files import sha256

SIZE = 16
EACH = 3 * SIZE * SIZE


def square(number: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (size, size, 3), np.uint8)


def digest(number: int) -> bytes:
    return sha256(str(number).encode())


def digests(numbers) -> np.ndarray:
    return np.frombuffer(b"".join(map(digest, numbers)), np.uint8).reshape(-1, 32)


def keep(numbers, *, size: int = SIZE, limit: int = module.LIMIT) -> bool:
    cache = SquareCache(size, "crop", limit=limit)
    return cache.write([digest(n) for n in numbers], np.stack([square(n, size) for n in numbers]))


def found(numbers, *, size: int = SIZE) -> list[bool]:
    """Which squares the cache has; those that it has are right."""
    cache, numbers = SquareCache(size, "crop"), list(numbers)
    out = np.zeros((len(numbers), size, size, 3), np.uint8)
    sound = cache.gather(cache.find(digests(numbers)), out)
    for place in np.flatnonzero(sound):
        np.testing.assert_array_equal(out[place], square(numbers[place], size))
    return sound.tolist()


def files(cache_folder, size: int = SIZE) -> list:
    return sorted((cache_folder / "squares").glob(f"{size}-*/*"), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.parametrize("resize", RESIZES)
def test_the_first_look_keeps_what_prediction_sees_byte_for_byte(kinds, resize):
    stream = SquareStream(SIZE, resize, count=8)
    index = scan(kinds, watcher=stream)
    stream.flush()
    assert len(index.readable) == 8
    cache = SquareCache(SIZE, resize)
    rows = cache.find(digest_matrix(index.table.column("digest")))
    out = np.empty((8, SIZE, SIZE, 3), np.uint8)
    assert cache.gather(rows, out).all()
    for path, one in zip(index.paths, out, strict=True):
        pixels = decode((kinds / path).read_bytes()).pixels
        np.testing.assert_array_equal(one, Preprocess(SIZE, resize).apply(pixels), err_msg=path)


def test_a_second_look_wants_only_what_is_new(pictures):
    stream = SquareStream(SIZE, "crop", count=40)
    scan(pictures, watcher=stream)
    stream.flush()
    shutil.copy(pictures / "red" / "red-1.png", pictures / "red" / "again.png")
    (pictures / "red" / "new.png").write_bytes((pictures / "red" / "red-2.png").read_bytes() + b"\0")
    again = SquareStream(SIZE, "crop", count=42)
    index = scan(pictures, watcher=again)
    wanted = [
        path for path, one in zip(index.paths, index.table["digest"].to_pylist(), strict=True) if again.wants(one)
    ]
    assert wanted == ["red/new.png"]
    again.flush()
    assert len(SquareCache(SIZE, "crop")) == 41
    assert len(SquareCache(SIZE, "squash")) == 0
    assert len(SquareCache(SIZE + 1, "crop")) == 0


def test_another_decoder_starts_anew(monkeypatch):
    keep([1])
    assert found([1, 2]) == [True, False]
    monkeypatch.setattr(module, "DECODER", "another")
    assert found([1]) == [False]


def test_two_processes_keep_squares_of_the_same_pictures_at_once(pictures):
    code = f"""
import sys
from telltale.batches.squares import SquareStream
from telltale.data.index import scan
stream = SquareStream({SIZE}, "crop", count=40)
scan(sys.argv[1], watcher=stream)
stream.flush()
"""
    both = [subprocess.Popen([sys.executable, "-c", code, str(pictures)]) for _ in range(2)]
    assert [one.wait(timeout=60) for one in both] == [0, 0]
    index = scan(pictures)
    cache, out = SquareCache(SIZE, "crop"), np.empty((40, SIZE, SIZE, 3), np.uint8)
    assert cache.gather(cache.find(digest_matrix(index.table.column("digest"))), out).all()
    for path, one in zip(index.paths, out, strict=True):
        np.testing.assert_array_equal(one, Preprocess(SIZE).apply(decode((pictures / path).read_bytes()).pixels))


def damage(kind: str, whole: bytes) -> bytes:
    if kind == "one bit":
        at = whole.index(square(3).tobytes()) + 100
        return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    return {"empty": b"", "half": whole[: len(whole) // 2], "zeros": bytes(len(whole)), "text": b"no Arrow"}[kind]


@pytest.mark.parametrize("kind", ["one bit", "empty", "half", "zeros", "text"])
def test_a_damaged_file_is_a_miss_and_can_be_replaced(own_cache, kind):
    keep([1, 2, 3, 4])
    (path,) = files(own_cache)
    keep([5])
    path.write_bytes(damage(kind, path.read_bytes()))
    assert found([1, 3, 5]) == [kind == "one bit", False, True]
    assert found([1, 3, 5]) == [False, False, True]  # what was damaged is gone by now, with the rest of its file
    keep([1, 3])
    assert found([1, 3, 5]) == [True, True, True]


def test_squares_of_a_file_that_was_deleted_can_be_read_to_the_end(own_cache):
    keep([1])
    cache, out = SquareCache(SIZE, "crop"), np.empty((1, SIZE, SIZE, 3), np.uint8)
    rows = cache.find(digests([1]))
    files(own_cache)[0].unlink()  # it is still mapped
    assert cache.gather(rows, out).all()
    np.testing.assert_array_equal(out[0], square(1))


def test_the_longest_unused_goes_first_when_the_limit_would_be_passed(own_cache):
    for number in (1, 2, 3):
        keep([number])
    for age, path in zip((30, 20, 10), files(own_cache), strict=True):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    size = sum(path.stat().st_size for path in files(own_cache))
    assert found([1]) == [True]  # it counts as used now
    assert keep([4], limit=size)
    assert found([1, 2, 3, 4]) == [True, False, True, True]
    assert keep([5], size=8, limit=size)  # another geometry, for the same limit
    assert found([5], size=8) == [True]


def test_what_is_in_use_does_not_go(own_cache):
    keep([1])
    keep([2])
    size = sum(path.stat().st_size for path in files(own_cache))
    cache = SquareCache(SIZE, "crop", limit=size)
    assert (cache.find(digests([1, 2])) >= 0).all()
    assert not cache.fits(1)
    assert not cache.write([digest(3)], square(3)[None])
    assert found([1, 2, 3]) == [True, True, False]


def test_a_set_that_does_not_fit_is_not_kept_and_nothing_goes_for_it(pictures):
    keep([1])
    stream = SquareStream(SIZE, "crop", count=40, limit=40 * EACH - 1)
    index = scan(pictures, watcher=stream)
    stream.flush()
    assert not any(stream.wants(one) for one in index.table["digest"].to_pylist())
    assert len(SquareCache(SIZE, "crop")) == 1 and found([1]) == [True]


def test_squares_take_a_third_of_the_free_disk_at_most(own_cache):
    cache = SquareCache(SIZE, "crop", limit=10**18)
    free = shutil.disk_usage(own_cache).free
    assert cache.fits(free // 4 // EACH)
    assert not cache.fits(free // 2 // EACH)


NUMBERS = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True), max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=NUMBERS, room=st.integers(0, 20))
def test_the_limit_holds_and_what_is_found_is_right(own_cache, batches, room):
    shutil.rmtree(own_cache, ignore_errors=True)
    for numbers in batches:
        kept = keep(numbers, limit=room * EACH)
        assert kept == (len(numbers) <= room)
        assert not kept or all(found(numbers))
        # An Arrow file is up to 3 kB larger than its squares.
        held = files(own_cache)
        assert sum(path.stat().st_size for path in held) <= room * EACH + 3000 * len(held)


def test_a_writer_gathers_what_comes_and_keeps_each_once(monkeypatch):
    monkeypatch.setattr(module, "_FLUSH_BYTES", 3 * EACH)
    writer = SquareWriter(SquareCache(SIZE, "crop"))
    for number in (1, 2, 1, 3, 4, 4, 2):
        writer.add(digest(number), square(number))
    assert found([1, 2, 3, 4]) == [True, True, True, False]
    writer.flush()
    writer.flush()
    assert found([1, 2, 3, 4]) == [True] * 4
    assert len(SquareCache(SIZE, "crop")) == 4


def test_a_folder_that_was_deleted_ends_the_keeping_and_nothing_else(own_cache):
    cache = SquareCache(SIZE, "crop")
    writer = SquareWriter(cache)
    shutil.rmtree(own_cache)
    writer.add(digest(1), square(1))
    assert writer.open
    writer.flush()
    assert not writer.open
    assert found([1]) == [False]


@dataclass
class Collector:
    """A watcher that wants some digests and remembers what it was given."""

    wanted: set[bytes]
    received: dict[bytes, np.ndarray] = field(default_factory=dict)

    def wants(self, digest: bytes) -> bool:
        return digest in self.wanted

    def reduce(self, pixels: np.ndarray) -> np.ndarray:
        return Preprocess(SIZE).apply(pixels)

    def receive(self, digests, reduced) -> None:
        self.received.update(zip(digests, reduced, strict=True))


def test_several_watchers_of_one_look_receive_what_each_wants(pictures):
    every = scan(pictures).table["digest"].to_pylist()
    collector, stream = Collector(set(every[5:20])), SquareStream(SIZE, "crop", count=40)
    scan(pictures, watcher=Watchers(collector, stream))
    stream.flush()
    assert set(collector.received) == set(every[5:20])
    cache, out = SquareCache(SIZE, "crop"), np.empty((40, SIZE, SIZE, 3), np.uint8)
    assert cache.gather(cache.find(digest_matrix(scan(pictures).table.column("digest"))), out).all()
    for one, kept in zip(every, out, strict=True):
        np.testing.assert_array_equal(collector.received.get(one, kept), kept)
    late = Collector(set(every[:1]))
    assert [one for one in every if Watchers(late, SquareStream(SIZE, "crop", count=40)).wants(one)] == every[:1]


def test_squares_of_another_size_are_not_kept(pictures):
    other, stream = SquareStream(SIZE + 1, "crop", count=40), SquareStream(SIZE, "crop", count=40)
    scan(pictures, watcher=Watchers(other, stream))
    for one in (other, stream):
        one.flush()
    assert (len(SquareCache(SIZE + 1, "crop")), len(SquareCache(SIZE, "crop"))) == (40, 0)
