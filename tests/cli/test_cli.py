"""The command line as users meet it: real processes, every bad input of the issue, nothing lost or changed."""

import csv
import http.server
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.conftest import as_an_ordinary_user

import telltale

NETWORK, SIDE = "test_efficientnet", 64
QUICK = ("--model", "cnn", "--img-size", "24", "--epochs", "1")
"""A training that needs neither weights nor a conversion."""


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below a folder with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def refuse(answer, code: int, words: str) -> None:
    """The answer is one message in three parts, with these words and this exit code."""
    assert answer.code == code, answer
    assert "Traceback" not in answer.stderr, answer
    assert re.search(r"^error: (?s:.+)^  expected: (?s:.+)^  do: .+", answer.stderr, re.MULTILINE), answer
    assert len(re.findall("^error: ", answer.stderr, re.MULTILINE)) == 1, answer
    assert re.search(words, answer.stderr), answer
    assert answer.stdout == "", answer


# Good paths


def test_version(cli):
    answer = cli("--version")
    assert (answer.code, answer.stdout) == (0, f"telltale {telltale.__version__}\n")


def test_train_prints_json_and_tells_what_it_does(trained):
    root = trained.parents[1]
    content = json.loads((root / "stdout.json").read_text())
    assert content["run"] == "runs/pets"
    assert content["bundle"] == "runs/pets/model.telltale"
    assert content["test"] == {
        name: value
        for name, value in json.loads((trained / "evaluation.json").read_text()).items()
        if name in content["test"]
    }
    told = (root / "stderr.txt").read_text()
    assert "Split: " in told
    assert "Traceback" not in told


def test_train_in_words(cli, pictures, tmp_path):
    answer = cli("train", pictures, *QUICK, "--output", "mine", "--set", "clip=2", "--seed", "3")
    assert answer.code == 0, answer
    assert "accuracy" in answer.stdout
    assert "next: telltale predict mine PHOTO.jpg" in answer.stderr
    recipe = (tmp_path / "mine" / "recipe.toml").read_text()
    assert "clip = 2.0" in recipe
    assert "seed = 3" in recipe
    again = cli("train", pictures, "--recipe", "mine/recipe.toml", "--epochs", "2", "--output", "again")
    assert again.code == 0, again
    assert (tmp_path / "again" / "recipe.toml").read_text() == recipe.replace("\nepochs = 1\n", "\nepochs = 2\n")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_is_predicted(cli, trained, pictures, tmp_path, kind):
    path = tmp_path / f"photos.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as file:
            file.write(pictures / "red" / "red-0.png", "red-0.png")
    else:
        with tarfile.open(path, "w:gz" if kind.endswith("gz") else "w") as file:
            file.add(pictures / "red" / "red-0.png", "red-0.png")
    answer = cli("predict", trained, path.name)
    assert answer.code == 0, answer
    assert answer.stdout.splitlines()[1].startswith(f"photos.{kind}/red-0.png,")


def test_predict_to_every_place(cli, trained, pictures, tmp_path):
    (pictures / "red" / "broken.png").write_bytes(b"")
    inputs = ("pictures/red", "pictures/blue/blue-1.png")
    plain = cli("predict", trained, *inputs)
    assert plain.code == 0, plain
    rows = list(csv.DictReader(io.StringIO(plain.stdout)))
    assert [row["filename"] for row in rows[:2]] == ["pictures/red/broken.png", "pictures/red/red-0.png"]
    assert rows[0] | {"reason": ""} == {
        "filename": "pictures/red/broken.png", "label": "", "prob": "", "status": "error", "reason": "",
    }  # fmt: skip
    assert len(rows) == 12
    lines = cli("predict", trained, *inputs, "--json")
    assert [json.loads(line)["label"] for line in lines.stdout.splitlines()] == [row["label"] for row in rows]
    for ending in ("csv", "jsonl", "parquet"):
        answer = cli("predict", trained, *inputs, "-o", f"out/answers.{ending}")
        assert answer.code == 0, answer
        assert f"predictions: out/answers.{ending}" in answer.stderr
        assert answer.stdout == ""
    assert (tmp_path / "out" / "answers.csv").read_text() == plain.stdout
    assert (tmp_path / "out" / "answers.jsonl").read_text() == lines.stdout
    assert [row["label"] for row in pq.read_table(tmp_path / "out" / "answers.parquet").to_pylist()] == [
        row["label"] for row in rows
    ]


def test_evaluate_in_words_and_as_json(cli, trained, unseen, tmp_path):
    words = cli("evaluate", trained, unseen, "-o", "scores")
    assert words.code == 0, words
    assert "accuracy" in words.stdout
    assert f"Beside the test part of {trained}:" in words.stdout
    assert "these, 40" in words.stdout and "recall of" in words.stdout
    files = {"evaluation.json", "confusion_matrix.png", "shift.json", "shift.html"}
    assert {path.name for path in (tmp_path / "scores").iterdir()} == files
    bundle = shutil.copytree(trained / "model.telltale", tmp_path / "pets.telltale")
    answer = cli("evaluate", bundle, unseen, "--json")
    assert json.loads(answer.stdout)["images"] == 40
    assert json.loads(answer.stdout)["shift"] is None
    assert "with the run folder the result is compared" in cli("evaluate", bundle, unseen).stderr


def test_evaluate_says_what_was_learned_from(cli, trained):
    pets = trained.parents[1] / "pets"
    refuse(cli("evaluate", trained, pets), 2, r"\d+ of 40 pictures were learned from by this classifier: '")
    marked = cli("evaluate", trained, pets, "--seen", "mark", "--json")
    seen = json.loads(marked.stdout)["seen"]
    assert (seen["learned"], seen["alike"], seen["chose"]) == (28, 0, 8), marked
    skipped = json.loads(cli("evaluate", trained, pets, "--seen", "skip", "--json").stdout)
    assert skipped["images"] == 40 - seen["learned"] - seen["alike"]
    refuse(cli("evaluate", trained, pets, "--seen", "no"), 2, r"What to do with training pictures is 'no'")


def test_train_in_folds(cli, pictures, tmp_path):
    answer = cli("train", pictures, *QUICK, "--folds", "3", "--output", "mine", "--json")
    assert answer.code == 0, answer
    assert json.loads(answer.stdout)["test"]["images"] == 40
    assert answer.stderr.count(" of 3: accuracy ") == 3
    assert len((tmp_path / "mine" / "folds.csv").read_text().splitlines()) == 4


def test_leaks_are_said_and_moved(cli, pictures, tmp_path):
    for part in ("train", "val", "test"):
        for path in sorted(pictures.glob("[bgry]*/*.png")):
            wanted = {"train": range(6), "val": (0, 6, 7), "test": (1, 8, 9)}[part]
            if int(path.stem[-1]) in wanted:
                target = tmp_path / "parted" / part / path.parent.name / f"{part}-{path.name}"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
    said = cli("train", "parted", *QUICK, "--output", "one")
    assert said.code == 0, said
    words = re.sub(r"\s+", " ", said.stderr)
    assert (
        "8 pictures of validation and test are not new: 8 with the same pixels as a picture in an earlier part" in words
    )
    assert "val/blue/val-blue-0.png same pixels: train/blue/train-blue-0.png" in words
    moved = cli("train", "parted", *QUICK, "--output", "other", "--fix-leaks")
    assert moved.code == 0, moved
    assert "8 pictures were moved out of validation and test" in re.sub(r"\s+", " ", moved.stderr)
    assert "are not new" not in moved.stderr and "has no effect" not in moved.stderr
    assert json.loads((tmp_path / "other" / "evaluation.json").read_text())["images"] == 8


def test_no_leaks_to_move_where_the_source_has_no_split(cli, pictures):
    answer = cli("train", "pictures", *QUICK, "--fix-leaks")
    assert answer.code == 0, answer
    assert "warning: --fix-leaks has no effect: the source has no split of its own." in answer.stderr


def test_corrected_labels_are_learned(cli, pictures, tmp_path):
    before = snapshot(pictures)
    rows = [f"red/red-{number}.png,red,blue,0.9" for number in range(5)] + ["red/red-5.png,red,,0.5"]
    (tmp_path / "labels-fix.csv").write_text("\n".join(["file,given,suggested,confidence", *rows]) + "\n")
    answer = cli("train", "pictures", *QUICK, "--labels-fix", "labels-fix.csv", "--output", "mine")
    assert answer.code == 0, answer
    assert "39 pictures" in answer.stderr and "15 blue, 10 green, 4 red, 10 yellow" in answer.stderr
    assert snapshot(pictures) == before
    refuse(cli("train", "pictures", *QUICK, "--labels-fix", "absent.csv"), 2, r"absent.csv")


def test_models(cli):
    answer = cli("models", "test_effic*", "--json")
    assert NETWORK in json.loads(answer.stdout)
    words = cli("models", "test_efficientnet_*", "--pretrained")
    assert words.stdout.splitlines()[0].startswith("test_efficientnet_")
    assert re.search(r"\d+ networks match 'test_efficientnet_\*'", words.stderr)


def test_a_reader_that_goes_away_is_no_failure(trained, pictures):
    command = [sys.executable, "-m", "telltale", "predict", str(trained), *([str(pictures)] * 60)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read().decode()
        assert process.wait(60) == 0, told
    assert "Traceback" not in told
    assert "BrokenPipe" not in told


@pytest.mark.slow
def test_demo(cli, tmp_path):
    start = time.perf_counter()
    answer = cli("demo", "--json")
    assert answer.code == 0, answer
    content = json.loads(answer.stdout)
    assert content["test"]["metrics"]["accuracy"]["value"] >= 0.95
    assert (tmp_path / content["run"] / "report.html").is_file()
    assert time.perf_counter() - start < 200


# Bad input: sources


def table(folder: Path, *rows: str, name: str = "labels.csv", header: str = "image,label") -> None:
    (folder / name).write_text("\n".join([header, *rows]) + "\n")


def flat(folder: Path) -> list[Path]:
    """All pictures directly in the folder."""
    return [Path(shutil.move(path, folder / path.name)) for path in sorted(folder.rglob("*.png"))]


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def one_class(folder: Path) -> None:
    for name in ("blue", "green", "yellow"):
        shutil.rmtree(folder / name)


def class_of_one(folder: Path) -> None:
    for number in range(1, 10):
        (folder / "red" / f"red-{number}.png").unlink()


def all_missing(folder: Path) -> None:
    flat(folder)
    table(folder, "a.png,cat", "b.png,dog")


def unknown_column(folder: Path) -> None:
    table(folder, *(f"{path.name},x" for path in flat(folder)), header="file,kind")


def empty_label(folder: Path) -> None:
    names = [path.name for path in flat(folder)]
    table(folder, *(f"{name},{'' if name == 'red-3.png' else name.split('-')[0]}" for name in names))


def disagreeing(folder: Path) -> None:
    rows = [f"{path.name},{path.name.split('-')[0]}" for path in flat(folder)]
    table(folder, *rows, name="a.csv")
    table(folder, *rows[:-1], rows[-1].split(",")[0] + ",purple", name="b.csv")


def all_broken(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        path.write_bytes(b"<html></html>")


SOURCES = {
    "empty folder": (empty, (), r"There are no pictures in '.*pictures': no files"),
    "one class": (one_class, (), r"only one class: 'red'.*\n  expected: At least two classes"),
    "a class with one image": (class_of_one, (), r"Too few usable pictures of 'red' \(1\)"),
    "table of missing files": (all_missing, (), r"None of the 2 pictures that 'labels.csv' names is there: 'a.png'"),
    "unknown column": (unknown_column, ("--label-col", "kinds"), r"has no column 'kinds'.*\n  expected: .*'kind'"),
    "empty label": (empty_label, (), r"In 'labels.csv' the column 'label' is empty in row 25"),
    "two tables disagreeing": (disagreeing, (), r"'a.csv' and 'b.csv' disagree: the label of 'yellow-9.png'"),
    "nothing but web pages": (all_broken, (), r"no class|Too few usable pictures|no readable"),
    "a column without a table": (
        lambda folder: None,
        ("--label-col", "x"),
        r"Columns are named, but there is no table",
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_bad_source_is_explained(cli, pictures, name):
    spoil, flags, words = SOURCES[name]
    spoil(pictures)
    before = snapshot(pictures)
    refuse(cli("train", "pictures", *QUICK, *flags), 2, words)
    assert snapshot(pictures) == before
    assert not list((pictures.parent / "runs").glob("*"))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.zip", b"this is no zip", r"'a.zip' is no archive \(its first bytes are 74 68"),
        ("a.zip", b"", r"'a.zip' is empty: it has 0 bytes"),
        ("a.zip", b"<!DOCTYPE html><html>", r"'a.zip' is a web page, not an archive"),
        ("a.zip", b"PK\x03\x04" + bytes(50), r"The archive 'a.zip' is damaged or cut short"),
        ("a.tar.gz", b"\x1f\x8b\x08" + bytes(50), r"The archive 'a.tar.gz' is damaged or cut short"),
        ("absent.zip", None, r"There is no 'absent.zip'"),
    ],
    ids=["no zip", "empty zip", "web page", "cut zip", "cut tar", "absent"],
)
def test_a_bad_archive_is_explained(cli, tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    refuse(cli("train", name, *QUICK), 2, words)
    assert [path.name for path in tmp_path.iterdir()] == ([name] if content is not None else [])


class _Half(http.server.BaseHTTPRequestHandler):
    """Promises a file and hangs up half-way, every time."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(b"PK\x03\x04" + bytes(50_000))
        self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def half() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Half)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/pets.zip"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_url_that_breaks_half_way_is_explained(cli, half, tmp_path):
    answer = cli("train", half, *QUICK, env={"no_proxy": "*"})
    refuse(answer, 1, r"The transfer of 'http://127.0.0.1:\d+/pets.zip' broke \(.+\)")
    assert "Run the same command again" in answer.stderr
    assert not list(tmp_path.iterdir())


def test_a_url_of_another_kind_is_explained(cli):
    answer = cli("train", "gopher://127.0.0.1/pets.zip", *QUICK)
    refuse(answer, 2, r"There is no way to read 'gopher' URLs\.\n  expected: s3://, gs://, https:// or another")


# Bad input: pictures


def header_of_a_bomb() -> bytes:
    """A PNG of a few bytes that declares 100,000 x 100,000 pixels."""
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG")
    data = bytearray(file.getvalue())
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def test_odd_pictures_are_set_aside_with_a_reason(cli, pictures, tmp_path):
    whole = (pictures / "red" / "red-0.png").read_bytes()
    odd = {
        "page.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
        "nothing.jpg": b"",
        "cut.png": whole[: len(whole) // 2],
        "bomb.png": header_of_a_bomb(),
    }
    for name, content in odd.items():
        (pictures / "red" / name).write_bytes(content)
    answer = cli("train", "pictures", *QUICK, "--output", "mine")
    assert answer.code == 0, answer
    assert "4 pictures cannot be used: 1 empty, 1 html, 1 too large, 1 truncated." in answer.stderr
    rows = list(csv.DictReader(io.StringIO(cli("predict", "mine", *(f"pictures/red/{name}" for name in odd)).stdout)))
    assert [row["reason"].split(":")[0] for row in rows] == ["html", "empty", "truncated", "too large"]
    assert {name: (pictures / "red" / name).read_bytes() for name in odd} == odd


# Bad input: places


def _with_little_disk() -> None:
    """Like a disk that is full after 100 kB: no file grows further."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
@pytest.mark.parametrize("what", ["output", "predictions", "cache", "unreadable data"])
def test_no_permission_is_explained(cli, trained, pictures, tmp_path, what):
    locked = tmp_path / "locked"
    locked.mkdir()
    (locked / "mine.txt").write_text("x")
    locked.chmod(0o500)
    env = {}
    if what == "output":
        arguments = ("train", "pictures", *QUICK, "--output", "locked/run")
    elif what == "predictions":
        arguments = ("predict", trained, "pictures", "-o", "locked/answers.csv")
    elif what == "cache":
        arguments, env = ("train", "pictures", *QUICK), {"TELLTALE_CACHE": str(locked / "cache")}
    else:
        locked.chmod(0o000)
        arguments = ("train", "locked", *QUICK)
    try:
        answer = cli(*arguments, env=env, preexec_fn=as_an_ordinary_user)
    finally:
        locked.chmod(0o700)
    if what == "unreadable data":
        refuse(answer, 2, r"'locked' may not be read \(Permission denied\)")
    else:
        refuse(answer, 1, r"'.*locked/.*' may not be written \(Permission denied\)")
    assert snapshot(locked) == {"mine.txt": b"x"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
@pytest.mark.parametrize("what", ["bundle", "predictions", "features"])
def test_a_full_disk_is_explained(cli, trained, pictures, tmp_path, weights, what):
    env = {}
    if what == "bundle":
        arguments = ("train", "pictures", *QUICK, "--img-size", "64", "--output", "mine")
    elif what == "predictions":
        (tmp_path / "answers.csv").write_text("of last week")
        arguments = ("predict", trained, *["pictures"] * 60, "-o", "answers.csv")
    else:
        shutil.copytree(Path(os.environ["TELLTALE_CACHE"]) / "engines", tmp_path / "cache" / "engines")
        env = {"TELLTALE_WEIGHTS": str(weights), "TELLTALE_CACHE": str(tmp_path / "cache")}
        for number in range(100):
            Image.new("RGB", (9, 9), (number, 2 * number, 0)).save(pictures / "red" / f"more-{number}.png")
        arguments = ("train", "pictures", "--model", NETWORK, "--img-size", SIDE, "--output", "mine")
    before = snapshot(pictures)
    answer = cli(*arguments, env=env, preexec_fn=_with_little_disk)
    refuse(answer, 1, r"No space left to write '.*'")
    assert snapshot(pictures) == before
    if what == "predictions":
        assert (tmp_path / "answers.csv").read_text() == "of last week"
        assert {path.name for path in tmp_path.iterdir()} == {"answers.csv", "pictures"}
    assert not list(tmp_path.rglob("*.tmp"))


def test_an_output_that_holds_something_is_left_alone(cli, pictures):
    before = snapshot(pictures)
    refuse(cli("train", "pictures", *QUICK, "--output", "pictures"), 2, r"The folder 'pictures' is not empty")
    assert snapshot(pictures) == before


# Bad input: models and settings


def test_a_flipped_byte_is_explained(cli, trained, pictures, tmp_path):
    moved = shutil.copytree(trained / "model.telltale", tmp_path / "pets.telltale")
    data = bytearray((moved / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (moved / "model.safetensors").write_bytes(data)
    for command in ("predict", "evaluate"):
        refuse(cli(command, "pets.telltale", "pictures"), 2, r"'pets.telltale/model.safetensors' is missing or damaged")
    refuse(cli("predict", "pictures", "pictures"), 2, r"'pictures' holds no trained classifier")
    refuse(cli("predict", "absent", "pictures"), 2, r"'absent' does not exist")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "clip"), r"--set 'clip' has no '='.*\n  expected: --set NAME=VALUE"),
        (("--set", "clop=1"), r"A recipe has no setting 'clop'.*\n  expected: Did you mean 'clip'"),
        (("--epochs", "-1"), r"epochs is -1"),
        (("--fit", "magic"), r"fit is 'magic'"),
        (("--device", "tpu"), r"The device is 'tpu'"),
        (("--recipe", "absent.toml"), r"There is no recipe and no file 'absent.toml'"),
        (("--weights", "absent.pth", "--model", NETWORK), r"There is no weights file 'absent.pth'"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_bad_setting_is_explained(cli, pictures, arguments, words):
    refuse(cli("train", "pictures", *QUICK[2:], *arguments), 2, words)
    assert not (pictures.parent / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("predict", "{run}", "absent.jpg"), r"There is no 'absent.jpg'"),
        (("predict", "{run}", "pictures", "-o", "answers.txt"), r"ends in '.txt'"),
        (("evaluate", "{run}", "pictures", "--part", "test"), r"have no part 'test'"),
        (("evaluate", "{run}", "pictures/red"), r"nothing that says their class"),
    ],
    ids=["missing picture", "ending", "part", "no classes"],
)
def test_a_bad_question_is_explained(cli, trained, pictures, arguments, words):
    answer = cli(*(one.format(run=trained) for one in arguments))
    refuse(answer, 2, words)


def test_wrong_usage_is_explained(cli):
    for arguments in (("predict",), ("train", "x", "--wrong"), ("fly",)):
        answer = cli(*arguments)
        assert answer.code == 2, answer
        assert "Usage:" in answer.stderr
        assert "Traceback" not in answer.stderr
