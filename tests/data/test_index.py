"""`scan` sees every picture once, says what is wrong with which, keeps what it saw, and changes nothing."""

import io
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from PIL import Image

from telltale.cache import DigestCache
from telltale.data.archive import FolderStore
from telltale.data.decoding import decode
from telltale.data.facts import KEPT, open_facts
from telltale.data.index import Index, describe_reasons, identical_pictures, scan
from telltale.data.source import Source, open_source
from telltale.errors import BundleError
from telltale.files import sha256, sha256_file
from telltale.progress import Advance


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TELLTALE_CACHE", str(folder))
    return folder


def save(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def draw(number, size=(12, 9)):
    """A small picture that no other number has."""
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8))


def bomb():
    return b"P6 100000 100000 255\n" + bytes(50)


TURNED = Image.Exif()
TURNED[0x0112] = 6
FILES = {
    "Äpfel/1.png": save(draw(1), "PNG"),
    "Äpfel/2.jpg": save(draw(2), "JPEG"),
    "Äpfel/3.png": save(draw(3), "PNG", exif=TURNED),
    "Äpfel/4.gif": save(draw(4), "GIF", save_all=True, append_images=[draw(5)]),
    "birnen/copy.png": save(draw(1), "PNG"),
    "birnen/same pixels.bmp": save(draw(1), "BMP"),
    "birnen/grey.png": save(draw(6).convert("L"), "PNG"),
    "birnen/7.webp": save(draw(7), "WEBP"),
    "birnen/8.tif": save(draw(8), "TIFF"),
    "birnen/9.png": save(draw(9), "PNG"),
}
FAULTS = {
    "fehler/empty.jpg": (b"", "empty"),
    "fehler/page.jpg": (b"<!doctype html><p>404", "html"),
    "fehler/lfs.jpg": (b"version https://git-lfs.github.com/spec/v1\n", "pointer"),
    "fehler/phone.heic": (b"\0\0\0\x18ftypheic" + bytes(50), "heic"),
    "fehler/text.png": (b"a text", "not an image"),
    "fehler/half.jpg": (save(draw(10, (64, 64)), "JPEG")[:2000], "truncated"),
    "fehler/flipped.png": (save(draw(11), "PNG")[:-40] + bytes(40), "broken"),
    "fehler/bomb.ppm": (bomb(), "too large"),
}


def write(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "obst", FILES | {name: data for name, (data, _) in FAULTS.items()})


def rows(index):
    return {row["path"]: row for row in index.table.to_pylist()}


def state(root):
    return {path: (sha256_file(path), path.stat().st_mtime_ns) for path in sorted(root.rglob("*")) if path.is_file()}


def test_every_picture_has_its_facts(folder):
    index = scan(folder)
    found = rows(index)
    assert index.paths == sorted(FILES | FAULTS) == list(found)
    for name, data in FILES.items():
        picture = decode(data)
        row = found[name]
        assert (row["bytes"], row["digest"], row["label"]) == (len(data), sha256(data), name.split("/")[0])
        assert (row["width"], row["height"], row["format"]) == (picture.width, picture.height, picture.format)
        assert (row["mode"], row["orientation"], row["frames"]) == (picture.mode, picture.orientation, picture.frames)
        shape = np.array(picture.pixels.shape, np.int64).tobytes()
        assert row["pixels"] == xxhash.xxh3_128(shape + picture.pixels.tobytes()).digest()
        assert row["error"] is row["detail"] is row["split"] is row["group"] is None
    assert (found["Äpfel/3.png"]["width"], found["Äpfel/3.png"]["height"]) == (9, 12)
    assert found["Äpfel/4.gif"]["frames"] == 2 and found["birnen/grey.png"]["mode"] == "L"


def test_what_cannot_be_used_has_its_reason_and_the_rest_goes_on(folder):
    index = scan(folder)
    found = rows(index)
    for name, (data, reason) in FAULTS.items():
        row = found[name]
        assert row["error"] == reason and row["detail"].endswith("."), row
        assert row["bytes"] == len(data) and row["digest"] == sha256(data)
        assert row["width"] is row["height"] is row["pixels"] is row["format"] is None
    assert index.readable.paths == sorted(FILES) and index.quarantined.paths == sorted(FAULTS)
    assert len(index) == len(index.readable) + len(index.quarantined)
    assert describe_reasons(index.quarantined) == ", ".join(
        f"1 {reason}" for reason in sorted(r for _, r in FAULTS.values())
    )
    assert "8 cannot be used: 1 broken, 1 empty" in str(index)


def test_classes_codes_counts_and_the_majority(folder):
    index = scan(folder)
    assert index.classes == ("birnen", "fehler", "Äpfel")
    assert index.counts == {"birnen": 6, "fehler": 8, "Äpfel": 4}
    assert index.codes.dtype == np.int32
    assert [index.classes[code] for code in index.codes] == [path.split("/")[0] for path in index.paths]
    assert index.majority == ("birnen", 6 / 10), "unreadable pictures do not count"
    assert index.readable.majority == ("birnen", 0.6)
    assert "18 pictures of 3 classes" in str(index) and "Always saying 'birnen' would be right for 60.0%." in str(index)
    none = index.take(np.zeros(0, np.int64))
    assert len(none) == 0 and none.majority == ("", 0.0) and none.counts == dict.fromkeys(index.classes, 0)


def test_take_gives_these_rows_in_this_order(folder):
    index = scan(folder)
    part = index.take(np.array([5, 0, 5]))
    assert part.paths == [index.paths[5], index.paths[0], index.paths[5]]
    assert (part.classes, part.location, part.name, part.layout) == (
        index.classes,
        index.location,
        "obst",
        index.layout,
    )
    assert part.store.read(part.paths[0]) == (FILES | {n: d for n, (d, _) in FAULTS.items()})[index.paths[5]]


def test_pictures_with_the_same_pixels_are_found_whatever_their_bytes(folder):
    assert identical_pictures(scan(folder)) == [["birnen/copy.png", "birnen/same pixels.bmp", "Äpfel/1.png"]]


def test_pixels_of_another_shape_are_other_pixels(tmp_path):
    grey = Image.new("RGB", (8, 4), "grey")
    write(tmp_path, {"a/1.png": save(grey, "PNG"), "b/2.png": save(grey.resize((4, 8)), "PNG")})
    assert identical_pictures(scan(tmp_path)) == []


def test_the_data_are_left_as_they_are(folder):
    before = state(folder)
    scan(folder)
    scan(folder)
    assert state(folder) == before


def test_the_number_of_threads_changes_nothing(folder, tmp_path_factory, monkeypatch):
    write(folder, {f"viele/{number}.png": save(draw(100 + number), "PNG") for number in range(40)})
    tables = []
    for threads in (1, 2, 7):
        monkeypatch.setenv("TELLTALE_CACHE", str(tmp_path_factory.mktemp("own")))
        tables.append(scan(folder, threads=threads).table)
    assert tables[0].equals(tables[1]) and tables[0].equals(tables[2])


def test_progress_is_told_to_the_end(folder):
    heard = []
    scan(folder, tell=heard.append)
    steps = [one for one in heard if isinstance(one, Advance) and one.stage == "look at the pictures"]
    assert [one.done for one in steps] == [16, 18] and {one.total for one in steps} == {18}


# --- what was seen once


class Watcher:
    """Takes down what it receives; wants everything that it has not had, or nothing."""

    def __init__(self, wanted=True):
        self.wanted, self.seen, self.lock = wanted, [], threading.Lock()

    def wants(self, digest):
        return self.wanted

    def reduce(self, pixels):
        return pixels[:2, :2].copy()

    def receive(self, digests, reduced):
        assert len(digests) == len(reduced) > 0
        with self.lock:
            self.seen += zip(digests, (one.tobytes() for one in reduced), strict=True)


def facts_seen():
    return open_facts()


def test_a_picture_is_decoded_once_whatever_its_name(folder, tmp_path):
    first = scan(folder)
    assert len(facts_seen()) == len(first)
    # What is remembered is believed without another look: a row that no decoding could give comes back.
    remembered = facts_seen()
    cache = remembered.folder
    lies = remembered.take(np.arange(len(remembered)))
    lies = lies.set_column(lies.schema.get_field_index("width"), "width", pa.array([4321] * len(lies), pa.int32()))
    for path in cache.iterdir():
        path.unlink()
    DigestCache(cache, KEPT).add(lies)
    moved = write(
        tmp_path / "moved", {"new/name.png": FILES["Äpfel/1.png"], "new/fault.png": b"", "other/x.png": b"new"}
    )
    found = rows(scan(moved))
    assert found["new/name.png"]["width"] == 4321 and found["new/fault.png"]["width"] == 4321
    assert found["other/x.png"]["error"] == "not an image"
    assert set(scan(folder).table.column("width").to_pylist()) == {4321}
    assert len(facts_seen()) == len(lies) + 1


def test_the_second_scan_gives_the_same_table(folder):
    assert scan(folder).table.equals(scan(folder).table)


def test_facts_survive_damage_to_their_cache(folder):
    first = scan(folder)
    for path in open_facts().folder.iterdir():
        path.write_bytes(path.read_bytes()[:200])
    assert scan(folder).table.equals(first.table)


def test_a_watcher_receives_every_picture_that_can_be_used(folder):
    for _ in range(2):  # the second time the facts are known, and the pixels are wanted all the same
        watcher = Watcher()
        scan(folder, watcher=watcher)
        expected = [(sha256(data), decode(data).pixels[:2, :2].tobytes()) for data in FILES.values()]
        assert sorted(watcher.seen) == sorted(expected)


def test_a_watcher_that_wants_nothing_receives_nothing(folder):
    watcher = Watcher(wanted=False)
    index = scan(folder, watcher=watcher)
    assert watcher.seen == [] and len(index.readable) == len(FILES)


def test_a_watcher_receives_only_what_it_wants(folder):
    one = sha256(FILES["birnen/9.png"])
    watcher = Watcher()
    watcher.wants = lambda digest: digest == one
    scan(folder, watcher=watcher)
    assert [digest for digest, _ in watcher.seen] == [one]


# --- files that go away


def test_a_file_that_vanishes_is_missing_and_one_that_cannot_be_read_unreadable(folder):
    source = open_source(folder)
    (folder / "Äpfel/1.png").unlink()
    (folder / "Äpfel/2.jpg").unlink()
    (folder / "Äpfel/2.jpg").mkdir()
    index = scan(source)
    found = rows(index)
    gone, odd = found["Äpfel/1.png"], found["Äpfel/2.jpg"]
    assert (gone["error"], gone["detail"]) == ("missing", "There is no such file.")
    assert odd["error"] == "unreadable" and odd["detail"].startswith("It could not be read (")
    assert gone["bytes"] == odd["bytes"] == 0 and gone["digest"] == odd["digest"] == bytes(32)
    assert len(index.readable) == len(FILES) - 2
    write(folder, {"Äpfel/1.png": FILES["Äpfel/1.png"]})
    assert rows(scan(source))["Äpfel/1.png"]["error"] is None, "what was not read must not be remembered"


def test_a_source_without_samples_gives_an_empty_index(tmp_path):
    none = pa.table({name: pa.array([], pa.string()) for name in ("path", "label", "split", "group")})
    index = scan(Source(str(tmp_path), "none", FolderStore(tmp_path), none, (), "class folders", ()))
    assert len(index) == 0 and index.classes == () and index.majority == ("", 0.0)


# --- on disk


def test_an_index_comes_back_whole(folder, tmp_path):
    index = scan(folder)
    index = Index(index.table, index.classes, index.location, index.name, index.layout, ("A note.", "Noch eine: ü."))
    path = index.save(tmp_path / "index.arrow")
    other = Index.load(path)
    assert other.table.equals(index.table)
    for name in ("classes", "location", "name", "layout", "notes", "paths"):
        assert getattr(other, name) == getattr(index, name), name
    np.testing.assert_array_equal(other.codes, index.codes)
    assert other.store.read("Äpfel/1.png") == FILES["Äpfel/1.png"]
    assert str(other) == str(index)
    assert Index.load(other.save(tmp_path / "again.arrow")).table.equals(index.table)


@pytest.mark.parametrize("count", [0, 1, 12])
def test_class_names_of_any_kind_and_number_keep_their_order(tmp_path, count):
    classes = tuple(sorted(["", "a:1", "猫", "class:0", "naïve", *map(str, range(20))])[:count])
    index = Index(scan_none(tmp_path).table, classes, "", "n", "l")
    assert Index.load(index.save(tmp_path / "i")).classes == classes


def scan_none(tmp_path):
    none = pa.table({name: pa.array([], pa.string()) for name in ("path", "label", "split", "group")})
    return scan(Source(str(tmp_path), "none", FolderStore(tmp_path), none, (), "class folders", ()))


def write_arrow(path, table):
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def test_a_file_that_is_no_index_is_refused(tmp_path, folder):
    path = tmp_path / "index.arrow"
    for data in (None, b"", b"no arrow", scan(folder).save(tmp_path / "whole").read_bytes()[:-50]):
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(BundleError, match=r"The index '.*' cannot be read \(.*An index.arrow that Telltale wrote"):
            Index.load(path)
    with pytest.raises(BundleError, match="cannot be read"):
        Index.load(tmp_path)


def test_an_index_of_another_version_or_form_is_refused(tmp_path, folder):
    path, index = tmp_path / "index.arrow", scan(folder)
    saved = Index.load(index.save(tmp_path / "whole")).table
    metadata = dict(saved.schema.metadata)
    for table, version in (
        (pa.table({"a": [1]}), "None"),
        (pa.table({"a": [1]}, metadata={b"\xc3\xbc": b"x"}), "None"),
        (saved.replace_schema_metadata(metadata | {b"format_version": b"3"}), "'3'"),
        (saved.drop_columns(["digest"]), "'2'"),
        (saved.replace_schema_metadata({b"format_version": b"2"}), "'2'"),
    ):
        write_arrow(path, table)
        with pytest.raises(
            BundleError, match=rf"The index '.*' has format version {version}\. Version 2\. Scan the data again"
        ):
            Index.load(path)


def test_a_flipped_byte_of_an_index_is_a_clear_error_or_harmless(tmp_path):
    write(tmp_path / "data", {"a/1.png": FILES["Äpfel/1.png"], "b/2.png": FILES["birnen/9.png"]})
    whole = scan(tmp_path / "data").save(tmp_path / "whole").read_bytes()
    for place in range(0, len(whole), 2):
        path = Path(tmp_path / f"{place}.arrow")
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            index = Index.load(path)
        except BundleError:
            continue
        assert len(index.table.to_pylist()) == len(index)
