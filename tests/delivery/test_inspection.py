"""`inspect_source` finds what is wrong, says the worst first, writes a whole folder or none, and changes nothing."""

import csv
import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from telltale.data.fixes import apply_fixes
from telltale.data.samples import draw_samples
from telltale.data.source import open_source
from telltale.delivery.inspection import InspectionSettings
from telltale.delivery.inspection_pipeline import inspect_source
from telltale.errors import ModelError, RecipeError, SourceError
from telltale.progress import Advance, Note

NETWORK, SIDE = "test_efficientnet", 64
FILES = {"report.html", "findings.csv", "findings.json"}


def hashes(folder):
    """SHA-256 of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read_rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def draw_scenes(folder, names, seed, size=(80, 60)):
    """Blocks of random colours, blurred: no two look the same."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        blocks = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8))
        blocks.resize(size, Image.Resampling.BICUBIC).save(folder / name)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The built-in pictures with their planted faults, inspected."""
    root = tmp_path_factory.mktemp("demo")
    samples = draw_samples(root / "shapes", count=80)
    before = hashes(samples.folder)
    inspection = inspect_source(samples.folder, output=root / "out")
    assert hashes(samples.folder) == before
    return samples, inspection


@pytest.fixture(scope="module")
def divided(tmp_path_factory):
    """Split folders; 5 test pictures are in training too: 2 as they are, 2 saved again, 1 under another label."""
    root = tmp_path_factory.mktemp("divided") / "data"
    for number, (part, count) in enumerate((("train", 12), ("validation", 4), ("test", 6))):
        for at, name in enumerate(("hill", "lake")):
            draw_scenes(root / part / name, [f"{part}-{n}.png" for n in range(count)], seed=10 * number + at)
    for n in (0, 1):
        shutil.copy(root / "train" / "hill" / f"train-{n}.png", root / "test" / "hill" / f"copy-{n}.png")
    for n in (2, 3):
        picture = Image.open(root / "train" / "lake" / f"train-{n}.png")
        picture.save(root / "test" / "lake" / f"again-{n}.jpg", quality=60)
    shutil.copy(root / "train" / "hill" / "train-5.png", root / "test" / "lake" / "other.png")
    return root, inspect_source(root, output=root.parent / "out")


def test_every_planted_fault_is_in_the_report_and_in_the_table(demo):
    samples, inspection = demo
    found = {(row["check"], row["file"]) for row in read_rows(inspection.folder / "findings.csv")}
    expected = {("unreadable", path) for kind in ("truncated", "html") for path in samples.planted[kind]}
    expected |= {("exact duplicate", path) for path in samples.planted["copies"][1:]}
    expected |= {("odd size", path) for path in samples.planted["odd_size"]}
    assert expected <= found
    page = inspection.report.read_text(encoding="utf-8").replace("<wbr>", "")
    assert [path for _, path in expected if path not in page] == []


def test_the_worst_comes_first(demo, divided):
    _, inspection = demo
    assert inspection.verdict.startswith("2 pictures cannot be used: 1 html, 1 truncated.")
    _, leaking = divided
    assert leaking.verdict.startswith("5 of 25 pictures of validation and test have a copy in an earlier part")
    assert [one.words for one in leaking.problems[:2]] == ["copies across the split", "copy with another label"]
    assert "1 picture is there under different labels" in leaking.verdict


def test_all_planted_copies_across_the_split_are_found_with_their_pairs(divided):
    _, inspection = divided
    pairs = {row["path"]: row for row in inspection.to_dict()["leaks"]}
    assert {path: row["copy_of"] for path, row in pairs.items()} == {
        "test/hill/copy-0.png": "train/hill/train-0.png",
        "test/hill/copy-1.png": "train/hill/train-1.png",
        "test/lake/again-2.jpg": "train/lake/train-2.png",
        "test/lake/again-3.jpg": "train/lake/train-3.png",
        "test/lake/other.png": "train/hill/train-5.png",
    }
    assert pairs["test/hill/copy-0.png"]["kind"] == "same pixels"
    assert pairs["test/lake/again-2.jpg"]["kind"] == "looks the same"
    page = inspection.report.read_text(encoding="utf-8").replace("<wbr>", "")
    assert all(path in page and row["copy_of"] in page for path, row in pairs.items())


def test_the_folder_holds_what_it_says(demo):
    _, inspection = demo
    assert {path.name for path in inspection.folder.iterdir()} == FILES
    content = json.loads((inspection.folder / "findings.json").read_text(encoding="utf-8"))
    assert (content["kind"], content["format_version"]) == ("inspection", 1)
    assert content["verdict"] == inspection.verdict
    assert content["suspects"] is None
    assert {row["sees"] for row in content["shortcuts"]} == {one.name for one in inspection.shortcuts} != set()


def test_names_count_up(pictures):
    assert [str(inspect_source(pictures).folder) for _ in range(2)] == [
        "inspections/pictures",
        "inspections/pictures-2",
    ]


def test_a_network_finds_wrong_labels_and_the_fix_file_corrects_them(pictures, backbone, weights, monkeypatch):
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))
    for n in (1, 2):
        (pictures / "red" / f"red-{n}.png").rename(pictures / "blue" / f"wrong-{n}.png")
    before = hashes(pictures)
    settings = InspectionSettings(model=NETWORK, img_size=SIDE)
    inspection = inspect_source(pictures, settings)
    assert {path.name for path in inspection.folder.iterdir()} == FILES | {"labels-fix.csv"}
    rows = {row["file"]: row for row in read_rows(inspection.fixes)}
    assert {"blue/wrong-1.png", "blue/wrong-2.png"} <= rows.keys()
    assert (rows["blue/wrong-1.png"]["given"], rows["blue/wrong-1.png"]["suggested"]) == ("blue", "red")
    assert f"{len(rows)} of 40 labels to look at: the network disagrees with" in inspection.verdict
    assert "blue/<wbr>wrong-1.png" in inspection.report.read_text(encoding="utf-8")
    fixed = InspectionSettings(model=NETWORK, img_size=SIDE, labels_fix=str(inspection.fixes))
    again = inspect_source(pictures, fixed)
    assert again.index.counts["red"] - inspection.index.counts["red"] >= 2
    doubted = {one.path: one.suggested for one in again.suspects.first(again.suspects.review)}
    assert "blue/wrong-1.png" not in doubted
    joined = apply_fixes(open_source(pictures), again.fixes)
    labels = dict(zip(joined.samples["path"].to_pylist(), joined.samples["label"].to_pylist(), strict=True))
    wanted = {path: row["suggested"] for path, row in rows.items()} | doubted
    assert {path: labels[path] for path in wanted} == wanted, "the new file alone gives the whole result"
    assert hashes(pictures) == before


def test_a_picture_that_was_fixed_and_is_suspected_again(pictures, backbone, weights, monkeypatch):
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))
    # The fix file makes two labels wrong, takes a picture out and keeps a label.
    rows = ["red/red-1.png,red,blue,0.5", "red/red-2.png,red,blue,", "green/green-3.png,green,,0.9"]
    fixes = pictures.parent / "mine.csv"
    fixes.write_text("\n".join(["file,given,suggested,confidence", *rows, "red/red-9.png,red,red,0.6"]) + "\n")
    settings = InspectionSettings(model=NETWORK, img_size=SIDE, labels_fix=str(fixes))
    inspection = inspect_source(pictures, settings)
    written = {row["file"]: row for row in read_rows(inspection.fixes)}
    assert next(iter(written)) == "green/green-3.png", "what is settled comes first"
    assert (written["green/green-3.png"]["suggested"], written["green/green-3.png"]["confidence"]) == ("", "0.9000")
    assert [written[f"red/red-{n}.png"]["given"] for n in (1, 2)] == ["red", "red"]
    assert [written[f"red/red-{n}.png"]["suggested"] for n in (1, 2)] == ["red", "red"]
    assert "red/red-9.png" in written
    assert len(apply_fixes(open_source(pictures), inspection.fixes).samples) == 39


def test_notes_of_the_source_are_told_and_written(tmp_path):
    for seed, name in enumerate(("Cat", "cat")):
        draw_scenes(tmp_path / "data" / name, [f"{n}.png" for n in range(4)], seed)
    (tmp_path / "fix.csv").write_text("file,given,suggested\ncat/0.png,cat,Cat\n")
    told = []
    inspection = inspect_source(tmp_path / "data", InspectionSettings(labels_fix="fix.csv"), tell=told.append)
    notes = {one.text: one.warning for one in told if isinstance(one, Note)}
    assert notes["fix.csv: 1 label changed."] is False
    assert notes["'Cat' and 'cat' differ only in capitals or spaces. They are taken for different classes."] is True
    content = json.loads((inspection.folder / "findings.json").read_text(encoding="utf-8"))
    assert content["notes"] == list(inspection.index.notes)
    assert "fix.csv: 1 label changed." in content["notes"]


@pytest.mark.parametrize("counts", [(6, 0), (1, 1)], ids=["one class", "two pictures"])
def test_too_little_for_a_network_is_said_and_the_rest_is_found(tmp_path, backbone, weights, monkeypatch, counts):
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))
    for seed, (name, count) in enumerate(zip("ab", counts, strict=True)):
        draw_scenes(tmp_path / "data" / name, [f"{n}.png" for n in range(count)], seed)
    told = []
    settings = InspectionSettings(model=NETWORK, img_size=SIDE)
    inspection = inspect_source(tmp_path / "data", settings, tell=told.append)
    assert (inspection.suspects, inspection.fixes, inspection.judgeable) == (None, None, False)
    assert {path.name for path in inspection.folder.iterdir()} == FILES
    notes = [one.text for one in told if isinstance(one, Note) and one.warning]
    assert any(
        note.startswith("No label was judged: ") and "too few to look for wrong labels" in note for note in notes
    )


@pytest.mark.parametrize(("count", "judgeable"), [(1, False), (2, False), (3, True)])
def test_copies_do_not_count_where_labels_are_judged(tmp_path, backbone, weights, monkeypatch, count, judgeable):
    monkeypatch.setenv("TELLTALE_WEIGHTS", str(weights))
    draw_scenes(tmp_path / "data" / "a", [f"{n}.png" for n in range(count)], seed=1)
    draw_scenes(tmp_path / "data" / "b", ["0.png"], seed=2)
    shutil.copy(tmp_path / "data" / "b" / "0.png", tmp_path / "data" / "b" / "copy.png")
    inspection = inspect_source(tmp_path / "data", InspectionSettings(model=NETWORK, img_size=SIDE))
    assert inspection.judgeable == judgeable == (inspection.suspects is not None)


def test_a_shortcut_is_judged_beside_the_network(tmp_path):
    # One class is small and PNG, the other large and JPEG: the files alone tell the label.
    draw_scenes(tmp_path / "data" / "a", [f"{n}.png" for n in range(30)], seed=1, size=(40, 40))
    draw_scenes(tmp_path / "data" / "b", [f"{n}.jpg" for n in range(30)], seed=2, size=(96, 64))
    inspection = inspect_source(tmp_path / "data")
    told = dict((one.name, words) for one, words in inspection.judged)
    assert "the data leak their label" in told["file facts"]
    assert "From file facts" in inspection.verdict
    assert told["file facts"].split(".")[0] in inspection.report.read_text(encoding="utf-8").replace("&#39;", "'")


def test_rare_classes_are_said(tmp_path):
    draw_scenes(tmp_path / "data" / "many", [f"{n}.png" for n in range(30)], seed=1)
    draw_scenes(tmp_path / "data" / "few", [f"{n}.png" for n in range(3)], seed=2)
    inspection = inspect_source(tmp_path / "data")
    assert "1 class has at most a tenth of the pictures that the largest class has." in inspection.verdict


def test_good_pictures_get_a_good_verdict(tmp_path):
    for seed, name in enumerate(("a", "b")):
        draw_scenes(tmp_path / "data" / name, [f"{n}.png" for n in range(12)], seed, size=(200, 160))
    assert inspect_source(tmp_path / "data").verdict == "Nothing wrong was found in 24 pictures of 2 classes."


def test_data_that_nothing_can_be_learned_from_are_still_looked_at(tmp_path):
    draw_scenes(tmp_path / "one" / "only", [f"{n}.png" for n in range(3)], seed=1)
    inspection = inspect_source(tmp_path / "one")
    assert inspection.shortcuts == ()
    for name in ("a", "b"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "1.jpg").write_bytes(b"no picture")
    assert inspect_source(tmp_path / "broken").verdict.startswith("2 pictures cannot be used")


@pytest.mark.parametrize(
    ("stage", "output"),
    [
        ("look at the pictures", None),
        ("look at the pictures", "there"),
        ("look at the pictures", "new"),
        ("draw the report's pictures", None),
    ],
)
def test_an_interrupted_inspection_leaves_no_folder(tmp_path, pictures, stage, output):
    def interrupt(message):
        if isinstance(message, Advance) and message.stage == stage:
            raise KeyboardInterrupt

    if output == "there":
        (tmp_path / output).mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        inspect_source(pictures, output=output, tell=interrupt)
    assert sorted(tmp_path.iterdir()) == before
    if output == "there":
        assert not any((tmp_path / output).iterdir())


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        (InspectionSettings(model="no_such_network"), ModelError, "no_such_network"),
        (InspectionSettings(labels_fix="nowhere.csv"), SourceError, "nowhere.csv"),
        (InspectionSettings(img_size=4), RecipeError, "img_size is 4"),
    ],
    ids=["model", "labels_fix", "img_size"],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(tmp_path, pictures, settings, kind, words):
    with pytest.raises(kind, match=words):
        inspect_source(pictures, settings)
    assert not (tmp_path / "inspections").exists()


def test_mirror_images_are_copies_only_where_asked_for(tmp_path):
    for seed, name in enumerate(("a", "b")):
        draw_scenes(tmp_path / "data" / name, [f"{n}.png" for n in range(4)], seed)
    Image.open(tmp_path / "data" / "a" / "0.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
        tmp_path / "data" / "a" / "mirror.png"
    )
    plain = inspect_source(tmp_path / "data")
    asked = inspect_source(tmp_path / "data", InspectionSettings(mirrored=True))
    assert (plain.findings.counts["near-duplicate"], asked.findings.counts["near-duplicate"]) == (0, 1)


def test_an_output_folder_whose_name_is_no_utf8(tmp_path, cli, pictures):
    answer = cli("inspect", pictures, "-o", os.fsdecode(b"out\xe9"), "--json")
    assert answer.code == 0, answer
    content = json.loads(answer.stdout)
    assert content["folder"] == "out%E9"
    with open(os.fsencode(tmp_path) + b"/out\xe9/findings.json", encoding="utf-8") as file:
        assert json.load(file)["verdict"] == content["verdict"]
    words = cli("inspect", pictures, "-o", os.fsdecode(b"words\xe9"))
    assert words.code == 0, words


def test_lookalikes_need_a_network():
    with pytest.raises(RecipeError, match=r"Lookalikes are asked for, but no network\. A network whose features"):
        InspectionSettings(lookalikes=True)
