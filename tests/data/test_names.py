"""Whatever files and classes are called, a source works or says one clear thing; and it is never changed."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import unicodedata
import zipfile

import numpy as np
import pytest
from PIL import Image

from telltale.data.class_names import settle_spelling
from telltale.data.index import Index, scan
from telltale.data.layout import SAMPLES
from telltale.data.source import open_source
from telltale.data.store import FolderStore
from telltale.errors import SourceError

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))

NAMES = {
    "accents": "café",
    "decomposed": DECOMPOSED,
    "chinese": "猫",
    "right to left": "חתול",
    "emoji": "🐱👩‍🔬",
    "spaces": "  two  words ",
    "newline": "two\nlines",
    "tab and bell": "a\tb\a",
    "quotes": "a'b\"c`d",
    "percent": "100%25",
    "shell": "$(rm -rf x);&|*?[a]",
    "html": "<script>alert(1)<",
    "table": "a,b;c",
    "dots": "a..b",
    "braces": "{0..9}",
    "long": "x" * 200,
}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TELLTALE_CACHE", str(folder))
    return folder


def draw(path, seed=0):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(file, "PNG")


def state(root):
    """Every file and folder below: name, bytes, links, rights, time of the last change."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in [b".", *folders, *files]:
            path = os.path.join(folder, name)
            facts = os.lstat(path)
            content = b""
            if os.path.islink(path):
                content = os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).digest()
            found[path] = (content, facts.st_mode, facts.st_size, facts.st_mtime_ns, facts.st_ino)
    return found


def label_of(name):
    """A class is in NFC, whatever the folder's name is in."""
    return unicodedata.normalize("NFC", name)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_class_and_a_file_by_any_name(name, tmp_path):
    root = tmp_path / "pictures"
    draw(root / name / f"{name}.png", 1)
    draw(root / "other" / "2.png", 2)
    index = scan(root)
    assert len(index.readable) == 2
    assert set(index.classes) == {label_of(name), "other"}
    assert set(index.paths) == {f"{name}/{name}.png", "other/2.png"}
    index.save(tmp_path / "index.arrow")
    again = Index.load(tmp_path / "index.arrow")
    assert (again.paths, again.classes) == (index.paths, index.classes)
    with open(root / name / f"{name}.png", "rb") as file:
        assert index.store.read(f"{name}/{name}.png") == file.read()


@pytest.mark.parametrize("name", [name for name in NAMES.values() if "\\" not in name], ids=NAMES)
def test_a_folder_and_an_archive_of_any_name(name, tmp_path):
    draw(tmp_path / name / "cats" / "1.png")
    with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
        archive.write(tmp_path / name / "cats" / "1.png", f"{name}/cats/1.png")
    assert scan(tmp_path / name).classes == ("cats",)
    index = scan(str(tmp_path / f"{name}.zip"))
    assert index.paths == [f"{name}/cats/1.png"]
    assert len(index.readable) == 1


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are Unicode")
def test_names_in_no_encoding(tmp_path):
    draw(os.fsencode(tmp_path) + b"/in/caf\xe9/\xff.png", 1)
    draw(tmp_path / "in" / "other" / "2.png", 2)
    index = scan(tmp_path / "in")
    assert index.classes == ("caf%E9", "other")
    assert index.paths == ["caf%E9/%FF.png", "other/2.png"]
    assert len(index.readable) == 2
    index.save(tmp_path / "index.arrow")
    with pytest.raises(SourceError, match="is not UTF-8"):
        scan(os.fsdecode(os.fsencode(tmp_path) + b"/in/caf\xe9"))


def test_names_that_look_the_same_are_one_class(tmp_path):
    draw(tmp_path / COMPOSED / "1.png", 1)
    draw(tmp_path / DECOMPOSED / "2.png", 2)
    if len(os.listdir(tmp_path)) == 1:
        pytest.skip("this file system takes both names for one")
    draw(tmp_path / "dogs" / "3.png", 3)
    index = scan(tmp_path)
    assert index.counts == {COMPOSED: 2, "dogs": 1}
    assert set(index.paths) == {f"{COMPOSED}/1.png", f"{DECOMPOSED}/2.png", "dogs/3.png"}
    assert len(index.readable) == 3
    assert index.notes == ("Class 'café' is spelled in two ways that look the same: they are one class.",)


def test_a_class_has_one_name_on_every_system(tmp_path):
    draw(tmp_path / "mac" / DECOMPOSED / "1.png")
    draw(tmp_path / "linux" / COMPOSED / "1.png")
    mac, linux = open_source(tmp_path / "mac"), open_source(tmp_path / "linux")
    assert mac.classes == linux.classes == (COMPOSED,)
    assert mac.notes == linux.notes == ()


@pytest.mark.parametrize(("written", "stored"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_table_finds_a_picture_whose_name_looks_the_same(written, stored, tmp_path):
    draw(tmp_path / "images" / f"{stored} 1.png")
    draw(tmp_path / "images" / "2.png")
    (tmp_path / "labels.csv").write_text(f"image,label\n{written} 1,x\n2.png,{written}\n", encoding="utf-8")
    samples = open_source(tmp_path).samples.to_pylist()
    assert [(row["path"], row["label"]) for row in samples] == [
        (f"images/{stored} 1.png", "x"),
        ("images/2.png", COMPOSED),
    ]


@pytest.mark.parametrize(
    "names", [("Cat", "cat"), ("Persian cat", "persian  Cat"), ("Straße", "STRASSE"), ("a/Cat", "a/cat", "a/CAT")]
)
def test_classes_that_differ_only_in_capitals_are_said_aloud(names, tmp_path):
    for number, name in enumerate(names):
        draw(tmp_path / name / f"{number}.png", number)
    if len({os.stat(tmp_path / name).st_ino for name in names}) == 1:
        pytest.skip("this file system takes these names for one")
    draw(tmp_path / "dogs" / "9.png")
    source = open_source(tmp_path)
    labels = {os.path.relpath(name, "a") if name.startswith("a/") else name for name in names}
    assert len(source.classes) == len(names) + 1
    (note,) = source.notes
    assert note.startswith("Warning: ") and "differ only in capitals or spaces" in note
    assert all(repr(name)[1:-1] in note for name in labels)


def test_spelling_is_settled_for_text_of_any_kind():
    rows = [{"path": str(number), "label": label} for number, label in enumerate(["b", None, "a", DECOMPOSED])]
    samples, notes = settle_spelling(SAMPLES.empty_table().from_pylist(rows, schema=SAMPLES))
    assert samples.column("label").to_pylist() == ["b", None, "a", COMPOSED]
    assert samples.schema == SAMPLES
    assert notes == ()


def test_a_link_to_its_own_parent_ends(tmp_path):
    draw(tmp_path / "in" / "cats" / "1.png")
    (tmp_path / "in" / "cats" / "again").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "dogs").symlink_to(tmp_path / "in" / "dogs", target_is_directory=True)
    (tmp_path / "in" / "cats" / "2.png").symlink_to(tmp_path / "in" / "cats" / "2.png")
    index = scan(tmp_path / "in")
    assert index.paths == ["cats/1.png", "cats/2.png"]
    assert len(index.readable) == 1


@pytest.mark.slow
def test_a_hundred_thousand_files_in_one_folder(tmp_path):
    draw(tmp_path / "in" / "cats" / "0.png")
    data = (tmp_path / "in" / "cats" / "0.png").read_bytes()
    for number in range(1, 100_000):
        with open(tmp_path / "in" / "cats" / f"{number}.png", "wb") as file:
            file.write(data)
    start = time.perf_counter()
    source = open_source(tmp_path / "in")
    assert time.perf_counter() - start < 10
    assert source.samples.num_rows == 100_000
    shutil.rmtree(tmp_path / "in")


def test_files_that_vanish_after_the_listing_are_rows_with_a_reason(tmp_path):
    for number in range(4):
        draw(tmp_path / "cats" / f"{number}.png", number)
        draw(tmp_path / "dogs" / f"{number}.png", number + 4)
    source = open_source(tmp_path)
    (tmp_path / "cats" / "1.png").unlink()
    shutil.rmtree(tmp_path / "dogs")
    (tmp_path / "cats" / "2.png").unlink()
    (tmp_path / "cats" / "2.png").mkdir()
    index = scan(source)
    reasons = dict(zip(index.paths, index.table.column("error").to_pylist(), strict=True))
    assert reasons == {
        "cats/0.png": None,
        "cats/1.png": "missing",
        "cats/2.png": "unreadable",
        "cats/3.png": None,
        **{f"dogs/{number}.png": "missing" for number in range(4)},
    }


def test_a_folder_that_vanishes_during_the_listing_is_said(tmp_path, monkeypatch):
    draw(tmp_path / "cats" / "1.png")
    draw(tmp_path / "dogs" / "1.png")
    scandir = os.scandir

    def vanish(folder):
        found = scandir(folder)
        if str(folder) == str(tmp_path):
            entries = list(found)
            shutil.rmtree(tmp_path / "dogs")
            found.close()
            return Listed(entries)
        return found

    class Listed(list):
        def __enter__(self):
            return self

        def __exit__(self, *error):
            """As of `scandir`."""

    monkeypatch.setattr(os, "scandir", vanish)
    with pytest.raises(SourceError, match=r"There is no '.*dogs'"):
        FolderStore(tmp_path).list()


def test_nothing_in_a_source_is_ever_changed(tmp_path):
    root = tmp_path / "in"
    for number in range(6):
        draw(root / "train" / ["cats", DECOMPOSED][number % 2] / f"{number} ü.png", number)
    (root / "train" / "cats" / "broken.jpg").write_bytes(b"\xff\xd8\xff half")
    (root / "labels.csv").write_text("image,label\nx.png,cats\n")
    (root / "train" / "cats" / "link.png").symlink_to(root / "train" / "cats" / "0 ü.png")
    for path in (root / "train" / "cats", root / "train", root):
        path.chmod(0o555)
    before = state(root)
    try:
        index = scan(root)
        scan(root)
        index.save(tmp_path / "index.arrow")
        assert state(root) == before
    finally:
        for path in (root, root / "train", root / "train" / "cats"):
            path.chmod(0o755)
    assert len(index.readable) == 7


def test_without_a_locale_everything_is_read_all_the_same(tmp_path):
    draw(tmp_path / "in" / "猫 🐱" / f"{DECOMPOSED}.png", 1)
    draw(tmp_path / "in" / "dogs" / "2.png", 2)
    (tmp_path / "in" / "dogs" / "annotations.csv").write_text("note\nü\n", encoding="utf-8")
    program = (
        "import sys; from telltale.data.index import scan; index = scan(sys.argv[1]); print(index); print(index.paths)"
    )
    answers = []
    for locale in ("C", "C.UTF-8"):
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))
        }
        answer = subprocess.run(
            [sys.executable, "-W", "error", "-c", program, str(tmp_path / "in")],
            env={**environment, "LC_ALL": locale},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr.decode()
        answers.append(answer.stdout.decode())
    assert "猫 🐱" in answers[0]
    assert len(set(answers)) == 1
