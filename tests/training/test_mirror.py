"""What is here is there: in order, checked, never written over, and nothing is removed that was not replaced."""

import json
import shutil

import pytest
from tests.training.mirror_tools import RUN, SETTINGS, Odd, begin, make_run, save

from telltale.errors import BundleError, PlaceError
from telltale.files import MANIFEST, verify_manifest
from telltale.progress import Note, silent
from telltale.storage.folder import FolderPlace
from telltale.storage.place import Away, Stored
from telltale.training.holding import list_holdings, restore
from telltale.training.mirror import Mirror
from telltale.training.store import STATE, Mark, Store


@pytest.fixture
def place(tmp_path):
    place = FolderPlace(str(tmp_path / "mirror"))
    place.open()
    return place


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "here" / "pets")


def there(place):
    """Epochs of the checkpoints that are whole there."""
    (holding,) = list_holdings(place)
    marks = [mark for marks in holding.marks.values() for mark in marks]
    for mark in marks:
        verify_manifest(place.path / holding.root / "weights" / mark.name)
    return [(mark.epoch, mark.step) for mark in marks]


def test_everything_that_is_here_is_there_with_its_manifest_last(run, place):
    store, odd = begin(run), Odd(place, lambda verb, name: None)
    for epoch in (1, 2):
        save(store, epoch, best=epoch == 1)
    (run.folder / "results.csv").write_text("epoch\n1\n2\n")
    mirror = Mirror(odd, run, keep=2)
    assert len(mirror.missing()) == 2
    mirror.send()
    assert (mirror.missing(), mirror.newest()) == ([], store.marks()[0].name)
    assert there(place) == [(2, 0), (1, 0)]
    root = place.path / f"pets-{RUN}"
    assert (root / "results.csv").read_text() == "epoch\n1\n2\n"
    for pointer in ("last", "best"):
        assert (root / "weights" / f"{pointer}.json").read_bytes() == (run.weights / f"{pointer}.json").read_bytes()
    written = [name.removeprefix(f"pets-{RUN}/") for verb, name in odd.done if verb == "write"]
    first, second = (f"weights/{store.marks()[at].name}" for at in (1, 0))
    assert [name for name in written if name.startswith(first)][-1] == f"{first}/{MANIFEST}"
    order = [f"{first}/{MANIFEST}", f"{second}/{MANIFEST}", "weights/last.json", "weights/best.json", "results.csv"]
    assert [name for name in written if name in order] == order
    assert written[4].startswith("start.") and written[4].endswith(MANIFEST)


def test_what_is_there_is_not_sent_again(run, place):
    store = begin(run)
    save(store, 1)
    Mirror(place, run, keep=2).send()
    for again in (Mirror(Odd(place, lambda verb, name: None), run, keep=2) for _ in range(2)):
        again.send()
        again.send()
        sent = [name for verb, name in again.place.done if verb == "write"]
        assert [name.rpartition("/")[2] for name in sent] == ["last.json"]
        assert [verb for verb, _ in again.place.done].count("list") == 1


def test_only_what_newer_ones_have_replaced_is_removed(run, place):
    store, mirror = begin(run), Mirror(place, run, keep=2)
    for epoch in range(1, 7):
        save(store, epoch, best=epoch == 2)
        mirror.send()
    assert there(place) == [(6, 0), (5, 0), (2, 0)]
    again, begun = begin(run), Mirror(place, run, keep=2)
    assert again.newest(print).epoch == 6
    for epoch in (7, 8, 9, 10):
        save(again, epoch)
        begun.send()
    assert there(place) == [(10, 0), (9, 0), (6, 0), (2, 0)]


def test_all_stay_where_that_is_asked_for(run, place):
    store, mirror = Store(run.weights, run.id, keep=0), Mirror(place, run, keep=0)
    for epoch in range(1, 6):
        save(store, epoch)
        mirror.send()
    assert len(there(place)) == 5


def test_another_run_below_the_same_place_is_left_alone(run, place, tmp_path):
    other = make_run(tmp_path / "other" / "pets", "deadbeef")
    theirs = begin(other)
    for epoch in (1, 2):
        save(theirs, epoch)
    Mirror(place, other, keep=1).send()
    before = {path: path.read_bytes() for path in place.path.rglob("*") if path.is_file()}
    store, mirror = begin(run), Mirror(place, run, keep=1)
    for epoch in range(1, 6):
        save(store, epoch)
        mirror.send()
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(one.id for one in list_holdings(place)) == [RUN, "deadbeef"]


def test_only_the_newest_within_an_epoch_is_sent(run, place):
    store = Store(run.weights, run.id, keep=0)
    for step in (10, 20, 30):
        save(store, 1, step)
    Mirror(place, run, keep=2).send()
    assert there(place) == [(1, 30)]


def test_what_is_damaged_here_is_not_sent(run, place):
    store = begin(run)
    save(store, 1)
    (store.path(save(store, 2)) / STATE).write_bytes(b"")
    mirror = Mirror(place, run, keep=2)
    mirror.send()
    assert (there(place), mirror.missing()) == ([(1, 0)], [])


def test_what_is_damaged_there_is_sent_again(run, place):
    store = begin(run)
    mark = save(store, 1)
    Mirror(place, run, keep=2).send()
    damaged = place.path / f"pets-{RUN}" / "weights" / mark.name / STATE
    damaged.write_bytes(b"short")
    mirror = Mirror(Odd(place, lambda verb, name: None), run, keep=2)
    mirror.send()
    assert damaged.read_bytes() == (store.path(mark) / STATE).read_bytes()
    done = [verb for verb, name in mirror.place.done if mark.name in name and verb in ("write", "delete")]
    assert done == ["delete", "write", "write"], "the manifest goes first and comes last"


def test_damage_of_the_same_size_is_found_where_the_place_knows_no_hash(run, place):
    store = begin(run)
    mark = save(store, 1)
    Mirror(place, run, keep=2).send()
    damaged = place.path / f"pets-{RUN}" / "weights" / mark.name / STATE
    damaged.write_bytes(bytes(damaged.stat().st_size))
    Mirror(place, run, keep=2).send()
    assert damaged.read_bytes() == (store.path(mark) / STATE).read_bytes()


def test_where_all_are_to_stay_a_full_place_refuses_and_none_is_removed(run, place):
    store = Store(run.weights, run.id, keep=0)

    def full(verb, name):
        if verb == "write" and name.endswith(STATE) and len(list(place.path.rglob(STATE))) >= 2:
            raise PlaceError("There is no room left.", expected="Room.", do="Free some.")

    mirror = Mirror(Odd(place, full), run, keep=0)
    for epoch in (1, 2):
        save(store, epoch)
        mirror.send()
    save(store, 3)
    with pytest.raises(PlaceError, match="no room left"):
        mirror.send()
    assert there(place) == [(2, 0), (1, 0)]


def test_a_failure_while_damage_is_mended_is_mended_later(run, place):
    store = begin(run)
    mark = save(store, 1)
    Mirror(place, run, keep=2).send()
    (place.path / f"pets-{RUN}" / "weights" / mark.name / STATE).write_bytes(b"short")
    failed = []

    def fail(verb, name):
        if verb == "write" and name.endswith(STATE) and not failed:
            failed.append(name)
            raise Away("reset")

    mirror = Mirror(Odd(place, fail), run, keep=2)
    with pytest.raises(Away):
        mirror.send()
    mirror.send()
    assert there(place) == [(1, 0)]


def test_where_there_is_no_room_replaced_ones_make_some(run, place):
    store = begin(run)
    store.keep = 0

    def full(verb, name):
        if verb == "write" and name.endswith(STATE) and len(list(place.path.rglob(STATE))) >= 3:
            raise PlaceError("There is no room left.", expected="Room.", do="Free some.")

    mirror = Mirror(Odd(place, full), run, keep=5)
    for epoch in range(1, 6):
        save(store, epoch, best=epoch == 1)
        mirror.send()
    assert there(place) == [(5, 0), (4, 0), (1, 0)]


def test_what_somebody_removed_there_is_sent_again_at_the_end(run, place):
    store, mirror = begin(run), Mirror(place, run, keep=2)
    save(store, 1)
    mirror.send()
    root = place.path / f"pets-{RUN}"
    shutil.rmtree(root)
    mirror.send_result()
    assert there(place) == [(1, 0)]
    assert list(root.glob("start.*/index.arrow"))
    for name in ("last.json", "best.json"):
        assert (root / "weights" / name).is_file() == (run.weights / name).is_file()
    (root / "weights" / "last.json").unlink()
    mirror.send_result()
    assert (root / "weights" / "last.json").read_bytes() == (run.weights / "last.json").read_bytes()


def test_what_is_there_at_the_end_is_not_read_again(run, place):
    store, odd = begin(run), Odd(place, lambda verb, name: None)
    save(store, 1)
    mirror = Mirror(odd, run, keep=2)
    mirror.send()
    odd.done.clear()
    mirror.send_result()
    assert [verb for verb, name in odd.done if "weights/" in name] == []


def test_steps_that_an_epoch_has_replaced_are_not_missed(run, place):
    store = begin(run)
    save(store, 1, 20)
    again = begin(run)
    again.newest(print)
    save(again, 2)
    mirror = Mirror(place, run, keep=2)
    mirror.send()
    assert (mirror.missing(), there(place)) == ([], [(2, 0)])


def test_a_checkpoint_may_go_here_while_it_is_sent(run, place):
    store = Store(run.weights, run.id, keep=1)
    first = save(store, 1)

    def prune(verb, name):
        if verb == "write" and name.endswith(STATE) and first.name in name:
            save(store, 2)

    mirror = Mirror(Odd(place, prune), run, keep=3)
    mirror.send()
    assert store.marks()[0].epoch == 2 and not store.path(first).exists()
    mirror.send()
    assert there(place) == [(2, 0), (1, 0)]
    assert not list(run.folder.glob(".sending*"))


@pytest.mark.parametrize("count", range(1, 40))
def test_wherever_it_breaks_the_next_attempt_goes_on(run, place, count):
    """Away at the n-th call of the place: everything arrives, and what had arrived whole is not sent twice."""
    store, calls = begin(run), []

    def fail(verb, name):
        calls.append(verb)
        if len(calls) == count:
            raise Away("503")

    mirror = Mirror(Odd(place, fail), run, keep=2)
    for epoch in range(1, 5):
        save(store, epoch, best=epoch == 1)
        for _ in range(3):
            try:
                mirror.send()
            except Away:
                assert count <= len(calls)
            else:
                break
    assert mirror.missing() == []
    assert there(place) == [(4, 0), (3, 0), (1, 0)]


def test_a_finished_run_is_a_run_folder_there(run, place):
    mirror = Mirror(place, run, keep=2)
    mirror.send_result()
    assert not list(place.path.rglob("result*")), "nothing is finished yet"
    (run.folder / "results.csv").write_text("epoch,train_loss,val_loss,val_accuracy,lr\n3,1,1,1,1\n")
    run.bundle.mkdir()
    (run.bundle / "classifier.json").write_text("{}")
    (run.folder / "report.html").write_text("first")
    mirror.send_result()
    (first,) = place.path.glob("*/result-0003.*")
    assert verify_manifest(first).keys() == {
        "model.telltale/classifier.json", "recipe.toml", "report.html", "results.csv", "run.json", "source.json",
        "splits.arrow",
    }  # fmt: skip
    assert json.loads((first.parent / "result.json").read_text())["result"] == first.name
    (run.folder / "report.html").write_text("second")
    Mirror(place, run, keep=2).send_result()
    (second,) = place.path.glob(f"*/result-0003.*/{MANIFEST}")
    assert second.parent != first


class TestRestore:
    @pytest.fixture
    def sent(self, run, place):
        """A run of three epochs in a mirror; the best is the second."""
        store, mirror = begin(run), Mirror(place, run, keep=3)
        for epoch in (1, 2, 3):
            save(store, epoch, best=epoch == 2)
        (run.folder / "results.csv").write_text("epoch\n1\n2\n3\n")
        mirror.send()
        return store

    def test_it_comes_back_to_an_empty_machine(self, sent, run, place, tmp_path):
        (holding,) = list_holdings(place)
        assert (holding.name, holding.id, holding.epochs, str(holding)) == (
            "pets",
            RUN,
            3,
            f"pets-{RUN} (stopped after 3 epochs)",
        )
        told = []
        back = restore(holding, tmp_path / "empty" / "other", told.append)
        assert (back.id, back.label) == (run.id, run.label)
        assert Store(back.weights, back.id).newest(print) == sent.marks()[0]
        for name in ("index.arrow", "splits.arrow", "source.json", "recipe.toml", "results.csv"):
            assert (back.folder / name).read_bytes() == (run.folder / name).read_bytes()
        notes = [one.text for one in told if isinstance(one, Note)]
        assert notes == [f"Fetched {sent.marks()[0].name} from {place.url}: it matches its manifest."]

    def test_the_address_of_the_run_itself_will_do(self, sent, place, tmp_path):
        inner = FolderPlace(f"{place.url}/pets-{RUN}/")
        inner.open()
        (holding,) = list_holdings(inner)
        assert restore(holding, tmp_path / "empty", silent).id == RUN

    def test_what_is_newer_here_stays(self, sent, run, place):
        newer = save(sent, 4)
        (holding,) = list_holdings(place)
        restore(holding, run.folder, silent)
        assert Store(run.weights, RUN).newest(print) == newer

    @pytest.mark.parametrize("name", [STATE, "recipe.toml", MANIFEST])
    @pytest.mark.parametrize("share", [0, 0.4, 1])
    def test_one_changed_byte_and_the_one_before_is_used(self, sent, place, tmp_path, name, share):
        path = place.path / f"pets-{RUN}" / "weights" / sent.marks()[0].name / name
        content = bytearray(path.read_bytes())
        content[int(share * (len(content) - 1))] ^= 0x2A
        path.write_bytes(content)
        told = []
        (holding,) = list_holdings(place)
        back = restore(holding, tmp_path / "empty", told.append)
        assert Store(back.weights, RUN).newest(print).epoch == 2
        warnings = [one.text for one in told if isinstance(one, Note) and one.warning]
        assert len(warnings) == 1
        assert sent.marks()[0].name in warnings[0]
        assert "damaged" in warnings[0] and warnings[0].endswith("The checkpoint before it is used.")

    def test_a_file_that_arrives_damaged_is_asked_for_again(self, sent, place, tmp_path):
        flips = []

        def flip(verb, name):
            if verb == "read" and name.endswith(STATE) and len(flips) < 2:
                flips.append(name)
                return b"\x00" * 2000

        (holding,) = list_holdings(Odd(place, flip))
        back = restore(holding, tmp_path / "empty", silent)
        assert (len(flips), Store(back.weights, RUN).newest(print).epoch) == (2, 3)

    def test_where_nothing_is_whole_that_is_said(self, sent, place, tmp_path):
        for path in place.path.rglob(STATE):
            path.write_bytes(b"x" * 2000)
        (holding,) = list_holdings(place)
        with pytest.raises(BundleError, match=rf"No checkpoint in {place.url} is whole; the newest is epoch-0003-"):
            restore(holding, tmp_path / "empty", silent)

    def test_without_a_checkpoint_it_begins_again_from_what_it_began_with(self, run, place, tmp_path):
        run.weights.mkdir()
        Mirror(place, run, keep=2).send()
        (holding,) = list_holdings(place)
        back = restore(holding, tmp_path / "empty", silent)
        assert (back.folder / "recipe.toml").read_text() == SETTINGS
        assert Store(back.weights, RUN).newest(print) is None

    def test_what_it_began_with_is_needed(self, run, place, tmp_path):
        run.weights.mkdir()
        Mirror(place, run, keep=2).send()
        next(place.path.rglob("index.arrow")).write_bytes(b"x")
        (holding,) = list_holdings(place)
        with pytest.raises(BundleError, match="holds nothing whole of pets-00c0ffee"):
            restore(holding, tmp_path / "empty", silent)

    def test_other_files_in_the_place_are_not_looked_at(self, sent, place):
        (place.path / "photos" / "deep").mkdir(parents=True)
        (place.path / "photos" / "deep" / "1.jpg").write_bytes(b"x")
        odd = Odd(place, lambda verb, name: None)
        assert len(list_holdings(odd)) == 1
        assert [name for verb, name in odd.done if verb == "list"] == [f"pets-{RUN}"]

    def test_what_has_vanished_meanwhile_is_passed_over(self, sent, place, tmp_path):
        (holding,) = list_holdings(place)
        (place.path / f"pets-{RUN}" / "weights" / sent.marks()[0].name / STATE).unlink()
        told = []
        back = restore(holding, tmp_path / "empty", told.append)
        assert Store(back.weights, RUN).newest(print).epoch == 2
        assert any("has vanished" in one.text for one in told if isinstance(one, Note))

    def test_half_a_checkpoint_does_not_count(self, sent, place, tmp_path):
        (place.path / f"pets-{RUN}" / "weights" / sent.marks()[0].name / MANIFEST).unlink()
        (holding,) = list_holdings(place)
        assert holding.epochs == 2

    def test_a_place_that_stays_away_is_an_error(self, sent, place, tmp_path, monkeypatch):
        monkeypatch.setattr("telltale.training.holding.PAUSE", 0.001)

        def away(verb, name):
            if verb == "read":
                raise Away("no route to host")

        (holding,) = list_holdings(Odd(place, away))
        with pytest.raises(PlaceError, match=r"mirror does not answer \(no route to host\)"):
            restore(holding, tmp_path / "empty", silent)

    @pytest.mark.parametrize("name", ["../evil", "weights/../../evil", "C:evil"])
    def test_names_stay_below_the_folder(self, place, tmp_path, name):
        """A mirror is a place where others may write."""

        class Hostile:
            url = "s3://bucket/x"

            def folders(self):
                return [f"pets-{RUN}"]

            def list(self, folder=""):
                return {f"pets-{RUN}/{name}": Stored(1), f"pets-{RUN}/start.00000000/{MANIFEST}": Stored(1)}

        (holding,) = list_holdings(Hostile())
        assert list(holding.names) == [f"start.00000000/{MANIFEST}"]


def test_the_finished_run_comes_back_whole(run, place, tmp_path):
    run.weights.mkdir()
    (run.folder / "results.csv").write_text("epoch,train_loss,val_loss,val_accuracy,lr\n1,1,1,1,1\n")
    (run.bundle / "golden").mkdir(parents=True)
    (run.bundle / "classifier.json").write_text("{}")
    (run.bundle / "golden" / "0.png").write_bytes(b"png")
    (run.folder / "report.html").write_text("report")
    mirror = Mirror(place, run, keep=2)
    mirror.send()
    mirror.send_result()
    (holding,) = list_holdings(place)
    assert str(holding) == f"pets-{RUN} (finished after 1 epoch)"
    back = restore(holding, tmp_path / "empty", silent)
    for path in run.folder.rglob("*"):
        if path.is_file():
            assert (back.folder / path.relative_to(run.folder)).read_bytes() == path.read_bytes()
    shutil.rmtree(back.folder)
    next(place.path.rglob("report.html")).write_bytes(b"REPORT")
    told = []
    back = restore(list_holdings(place)[0], tmp_path / "empty", told.append)
    assert not back.bundle.exists(), "a damaged result is not believed"
    assert any("report.html is missing or damaged" in one.text for one in told if isinstance(one, Note))


def test_folds_are_checkpoints_of_the_same_run(run, place, tmp_path):
    for number in (1, 2):
        fold = run.folder / f"fold-{number}"
        fold.mkdir()
        store = Store(fold / "weights", RUN, extras={"recipe.toml": SETTINGS.encode()})
        save(store, number)
        (fold / "results.csv").write_text(f"epoch\n{number}\n")
    Mirror(place, run, keep=2).send()
    (holding,) = list_holdings(place)
    assert {scope: marks[0].epoch for scope, marks in holding.marks.items()} == {"fold-1/": 1, "fold-2/": 2}
    back = restore(holding, tmp_path / "empty", silent)
    for number in (1, 2):
        assert Store(back.folder / f"fold-{number}" / "weights", RUN).newest(print).epoch == number
        assert (back.folder / f"fold-{number}" / "results.csv").read_text() == f"epoch\n{number}\n"


def test_a_mark_in_a_foreign_folder_is_not_taken(place):
    """The id in the folder's name and that in the checkpoint's must agree."""
    folder = place.path / "pets-deadbeef" / "weights" / Mark(3, 0, RUN, "b41d").name
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{}")
    assert list_holdings(place) == []
