"""Checkpoints never change once they are there, and the newest whole one is never removed, whatever happens."""

import errno
import json
import shutil

import pytest
from hypothesis import given, strategies as st

from telltale.errors import BundleError, OutputError
from telltale.files import MANIFEST, verify_manifest
from telltale.training.store import STATE, Mark, Store, find_pointed, find_whole, list_marks, sort_marks

RUN = "00c0ffee"


def save(store, epoch, step=0, *, best=False, size=1000):
    files = {STATE: bytes([epoch % 256]) * size}
    return store.save(epoch, step, files, facts={"val_loss": 1 / (epoch + 1)}, best=best).mark


def epochs(store):
    return [(mark.epoch, mark.step) for mark in store.marks()]


@given(st.integers(0, 20_000), st.integers(0, 5_000_000))
def test_a_name_says_which_checkpoint_it_is(epoch, step):
    mark = Mark(epoch, step, RUN, "b41d")
    assert Mark.parse(mark.name) == mark
    assert not set(mark.name) & set(":=/ ")


@pytest.mark.parametrize("name", ["epoch-0007", "epoch-7-00c0ffee-b41d", "epoch-0007-00C0FFEE-b41d", ".epoch-0007", ""])
def test_other_names_are_no_checkpoints(name):
    assert Mark.parse(name) is None


def test_newer_is_further_not_later_and_not_by_letters():
    marks = [Mark(epoch, step, RUN, "b41d") for epoch, step in [(9, 0), (10, 0), (9, 5), (10_000, 0), (9, 40)]]
    assert [mark.place for mark in sort_marks(marks)] == [(10_000, 0), (10, 0), (9, 40), (9, 5), (9, 0)]


def test_what_is_saved_is_whole_and_pointed_to(tmp_path):
    store = Store(tmp_path, RUN, extras={"recipe.toml": b"epochs = 3\n"})
    first = save(store, 1, best=True)
    second = save(store, 2)
    assert verify_manifest(store.path(second)).keys() == {STATE, "recipe.toml"}
    assert (find_pointed(tmp_path, "last"), find_pointed(tmp_path, "best")) == (store.path(second), store.path(first))
    said = json.loads((tmp_path / "last.json").read_text())
    assert (said["checkpoint"], said["epoch"], said["val_loss"]) == (second.name, 2, 1 / 3)
    facts = json.loads((store.path(second) / MANIFEST).read_text())["facts"]
    assert (facts["epoch"], facts["run"]) == (2, RUN)
    assert not list(tmp_path.glob(".*")), "nothing temporary is left"


def test_the_newest_the_best_and_the_one_gone_on_from_stay(tmp_path):
    store = Store(tmp_path, RUN)
    for epoch in range(1, 6):
        save(store, epoch, best=epoch == 2)
    assert epochs(store) == [(5, 0), (4, 0), (2, 0)]
    again = Store(tmp_path, RUN)
    assert again.newest(print).epoch == 5
    for epoch in range(6, 10):
        save(again, epoch, best=epoch == 7)
    assert epochs(again) == [(9, 0), (8, 0), (7, 0), (5, 0)]


def test_all_stay_where_that_is_asked_for(tmp_path):
    store = Store(tmp_path, RUN, keep=0)
    for epoch in range(1, 6):
        save(store, epoch)
    assert len(store.marks()) == 5


def test_a_checkpoint_within_an_epoch_comes_after_the_epoch_before(tmp_path):
    store = Store(tmp_path, RUN)
    for place in [(1, 0), (1, 20), (1, 100), (2, 0)]:
        save(store, *place)
    assert epochs(store) == [(2, 0), (1, 100)]


def test_what_is_there_is_never_written_again(tmp_path):
    store = Store(tmp_path, RUN)
    mark = save(store, 1)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in store.path(mark).iterdir()}
    assert store.save(1, 0, {STATE: b"other"}, facts={}, best=False).mark == mark
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in store.path(mark).iterdir()} == before
    assert save(Store(tmp_path, RUN), 1) != mark, "another process has names of its own"


def test_other_trainings_and_files_are_left_alone(tmp_path):
    theirs = save(Store(tmp_path, "deadbeef"), 1)
    (tmp_path / "epoch-0001-notes").mkdir()
    store = Store(tmp_path, RUN, keep=1)
    for epoch in range(1, 5):
        save(store, epoch)
    assert epochs(store) == [(4, 0)]
    assert list_marks(tmp_path, "deadbeef") == [theirs]
    assert (tmp_path / "epoch-0001-notes").is_dir()


def test_half_of_a_removed_one_is_removed_later(tmp_path):
    store = Store(tmp_path, RUN, keep=1)
    half = save(store, 1)
    (store.path(half) / MANIFEST).unlink()
    save(store, 2)
    assert not store.path(half).exists()


def test_any_changed_byte_of_any_file_and_the_one_before_is_used(tmp_path):
    store = Store(tmp_path, RUN, extras={"recipe.toml": b"epochs = 3\n"})
    before, damaged = save(store, 1), save(store, 2, size=200)
    for name in (STATE, "recipe.toml", MANIFEST):
        path = store.path(damaged) / name
        whole = path.read_bytes()
        for place in range(len(whole)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x2A]) + whole[place + 1 :])
            told = []
            assert find_whole(tmp_path, RUN, told.append) == before, f"byte {place} of {name}"
            (text,) = told
            assert damaged.name in text and text.endswith("The checkpoint before it is used.")
        path.write_bytes(whole)
    assert Store(tmp_path, RUN).newest(print) == damaged


def test_a_damaged_newest_one_does_not_count_among_those_that_stay(tmp_path):
    store = Store(tmp_path, RUN)
    save(store, 1)
    save(store, 2)
    (store.path(save(store, 3)) / STATE).write_bytes(b"")
    again = Store(tmp_path, RUN)
    assert again.newest(lambda text: None).epoch == 2
    save(again, 3)
    assert epochs(again) == [(3, 0), (2, 0)], "it is replaced"
    save(again, 4)
    assert epochs(again) == [(4, 0), (3, 0), (2, 0)]
    assert again.newest(print).epoch == 4


def test_without_any_whole_one_nothing_is_begun_again_unasked(tmp_path):
    store = Store(tmp_path, RUN)
    (store.path(save(store, 3)) / STATE).unlink()
    told = []
    with pytest.raises(BundleError, match=r"No checkpoint in '.*' is whole; the newest is epoch-0003-00c0ffee"):
        store.newest(told.append)
    assert len(told) == 1


def test_where_there_is_none_there_is_none(tmp_path):
    assert Store(tmp_path / "new", RUN).newest(print) is None


def test_left_over_pieces_are_cleared_and_do_not_count(tmp_path):
    store = Store(tmp_path, RUN)
    mark = save(store, 1)
    shutil.copytree(store.path(mark), tmp_path / ".epoch-0002-00c0ffee-b41d.tmp")
    shutil.copytree(store.path(mark), tmp_path / "epoch-0003-00c0ffee-b41d")
    (tmp_path / "epoch-0003-00c0ffee-b41d" / MANIFEST).unlink()
    again = Store(tmp_path, RUN)
    assert again.newest(print) == mark
    assert not list(tmp_path.glob(".*"))


def test_on_a_full_disk_old_ones_make_room(small_disk):
    disk = small_disk("disk", "2m")
    store = Store(disk / "weights", RUN, keep=0)
    for epoch in range(1, 4):
        save(store, epoch, size=600_000)
    saved = store.save(4, 0, {STATE: b"x" * 600_000}, facts={}, best=False)
    assert [Mark.parse(name).epoch for name in saved.sacrificed] == [1, 2]
    assert epochs(store) == [(4, 0), (3, 0)]
    assert Store(disk / "weights", RUN).newest(print).epoch == 4


def test_where_nothing_can_go_the_last_one_stays(small_disk):
    disk = small_disk("disk", "2m")
    store = Store(disk / "weights", RUN)
    save(store, 1, size=1_200_000)
    with pytest.raises(OutputError, match="No space left to write") as caught:
        save(store, 2, size=1_200_000)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert epochs(store) == [(1, 0)]
    assert [path.name for path in store.folder.iterdir() if path.name.startswith(".")] == []
    assert Store(disk / "weights", RUN).newest(print).epoch == 1
    assert save(store, 2, size=500_000).epoch == 2, "and smaller ones go on"


def test_a_disk_that_gives_back_something_else_is_noticed(tmp_path, monkeypatch):
    store = Store(tmp_path, RUN)
    save(store, 1)
    monkeypatch.setattr("telltale.training.store.sha256", lambda data: b"\0" * 32)
    with pytest.raises(OutputError, match=r"What was written to '.*' is not what is read there"):
        save(store, 2)
    assert epochs(store) == [(1, 0)]
