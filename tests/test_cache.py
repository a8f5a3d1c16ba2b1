"""What was computed of a picture is found again by its content, whoever wrote it; damage is a miss, never an error."""

import hashlib
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from telltale.cache import DIGEST_BYTES, DigestCache, digest_matrix

WIDTH = 4
SCHEMA = pa.schema([("name", pa.string()), ("row", pa.list_(pa.float32(), WIDTH)), ("blob", pa.binary(WIDTH))])
FULL = pa.schema([("digest", pa.binary(DIGEST_BYTES)), *SCHEMA])


def digest(number):
    return hashlib.sha256(str(number).encode()).digest()


def digests(numbers):
    return np.frombuffer(b"".join(map(digest, numbers)), np.uint8).reshape(-1, DIGEST_BYTES)


def table(numbers):
    rows = [
        {"digest": digest(n), "name": f"picture {n}", "row": [n, n + 0.5, -n, 0], "blob": n.to_bytes(WIDTH, "big")}
        for n in numbers
    ]
    return pa.Table.from_pylist(rows, schema=FULL)


def check(cache, known, unknown=()):
    """Everything known is found with its own values, nothing else is."""
    rows = cache.find(digests(known))
    assert (rows >= 0).all() and (cache.find(digests(unknown)) == -1).all()
    assert cache.take(rows).to_pylist() == table(known).to_pylist()
    out = np.full((len(known), WIDTH), np.nan, np.float32)
    cache.gather("row", rows, out)
    np.testing.assert_array_equal(out, np.array([[n, n + 0.5, -n, 0] for n in known], np.float32).reshape(-1, WIDTH))
    blobs = np.full((len(known), WIDTH), 255, np.uint8)
    cache.gather("blob", np.where(np.arange(len(known)) % 3 == 2, -1, rows), blobs)
    expected = [[255] * WIDTH if place % 3 == 2 else list(n.to_bytes(WIDTH, "big")) for place, n in enumerate(known)]
    np.testing.assert_array_equal(blobs, np.array(expected, np.uint8).reshape(-1, WIDTH))
    names = [pa.ipc.open_file(path).read_all()["name"].to_pylist() for path in cache.files if path.exists()]
    if len(names) == len(cache.files):
        holders = cache.locate(rows)
        assert all(f"picture {n}" in names[holder] for n, holder in zip(known, holders, strict=True))


BATCHES = st.lists(st.lists(st.integers(0, 1000), max_size=12), max_size=5)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES, order=st.randoms(use_true_random=False))
def test_what_was_added_is_found_at_once_and_by_the_next_reader(tmp_path_factory, batches, order):
    folder = tmp_path_factory.mktemp("cache")
    cache = DigestCache(folder, SCHEMA)
    for batch in batches:
        cache.add(table(batch))
    known = [number for batch in batches for number in batch]
    assert len(cache) == len(known)
    order.shuffle(known)
    for reader in (cache, DigestCache(folder, SCHEMA)):
        check(reader, known, unknown=[2000, 3000])
        for number in known[:3]:
            row = reader.find_one(digest(number))
            assert reader.take(np.array([row])).to_pylist() == table([number]).to_pylist()
        assert reader.find_one(digest(2000)) == -1


def test_an_empty_cache_finds_nothing(tmp_path):
    cache = DigestCache(tmp_path / "new" / "folder", SCHEMA)
    assert len(cache) == 0 and cache.find_one(digest(1)) == -1
    assert cache.find(digests([1, 2])).tolist() == [-1, -1] and cache.find(digests([])).shape == (0,)
    none = cache.take(np.zeros(0, np.int64))
    assert none.num_rows == 0 and none.schema == FULL
    cache.gather("row", np.zeros(0, np.int64), np.zeros((0, WIDTH), np.float32))
    cache.add(table([]))
    assert not list(cache.folder.iterdir())


def test_two_processes_add_at_once(tmp_path):
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_cache as here
cache = here.DigestCache(Path(sys.argv[2]), here.SCHEMA)
first = int(sys.argv[3])
for number in range(first, first + 10):
    cache.add(here.table([number, number + 5]))
"""
    here = str(__import__("pathlib").Path(__file__).parent)
    both = [subprocess.Popen([sys.executable, "-c", code, here, str(tmp_path), str(first)]) for first in (0, 7)]
    assert [one.wait(timeout=60) for one in both] == [0, 0]
    cache = DigestCache(tmp_path, SCHEMA)
    assert len(cache) == 40
    check(cache, list(range(22)))


def damage_by(name, whole):
    return {
        "empty": b"",
        "text": b"not an Arrow file",
        "half": whole[: len(whole) // 2],
        "start only": whole[:10],
        "end only": whole[-10:],
        "zeros": bytes(len(whole)),
    }[name]


@pytest.mark.parametrize("kind", ["empty", "text", "half", "start only", "end only", "zeros"])
def test_a_damaged_file_is_passed_over(tmp_path, kind):
    DigestCache(tmp_path, SCHEMA).add(table([1, 2]))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    DigestCache(tmp_path, SCHEMA).add(table([3]))
    path.write_bytes(damage_by(kind, whole))
    cache = DigestCache(tmp_path, SCHEMA)
    check(cache, [3], unknown=[1, 2])
    cache.add(table([1]))
    check(DigestCache(tmp_path, SCHEMA), [1, 3], unknown=[2])


def test_no_flipped_byte_ends_the_process(tmp_path):
    DigestCache(tmp_path, SCHEMA).add(table([1, 2]))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        # A new name each time: the old file is still mapped.
        path.unlink()
        path = tmp_path / f"{place}.arrow"
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        cache = DigestCache(tmp_path, SCHEMA)
        cache.take(np.arange(len(cache))).column("digest").to_pylist()
        assert cache.find(digests([1, 2])).max() < len(cache)


def test_files_of_another_form_and_other_files_are_passed_over(tmp_path):
    other = pa.schema([("name", pa.int64())])
    DigestCache(tmp_path, other).add(pa.table({"digest": pa.array([digest(1)], pa.binary(32)), "name": [5]}))
    (tmp_path / "readme.txt").write_text("mine")
    (tmp_path / ".half.arrow.0.tmp").write_bytes(b"x")
    cache = DigestCache(tmp_path, SCHEMA)
    assert len(cache) == 0
    cache.add(table([1]))
    check(cache, [1])
    assert len(DigestCache(tmp_path, other)) == 1


def test_a_folder_that_is_deleted_while_it_is_used_costs_no_answer(tmp_path):
    cache = DigestCache(tmp_path, SCHEMA)
    cache.add(table([1, 2]))
    for path in tmp_path.iterdir():
        path.unlink()
    check(cache, [2, 1])


def test_digests_of_a_sliced_column_are_its_own():
    column = table(range(10)).slice(3, 4).column("digest")
    np.testing.assert_array_equal(digest_matrix(column), digests(range(3, 7)))
    assert digest_matrix(table([]).column("digest")).shape == (0, DIGEST_BYTES)
