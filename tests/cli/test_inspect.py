"""`telltale inspect` as users meet it: words, one JSON object, exit codes."""

import json
import re
import shutil

import pytest
from PIL import Image

NETWORK, SIDE = "test_efficientnet", 64


def test_words_and_the_way_on(cli, pictures, tmp_path):
    shutil.copy(pictures / "red" / "red-0.png", pictures / "blue" / "copy.png")
    (pictures / "red" / "broken.jpg").write_bytes(b"<html>")
    answer = cli("inspect", "pictures")
    assert answer.code == 0, answer
    assert "unreadable" in answer.stdout
    assert "duplicate with another label" in answer.stdout
    assert "1 picture is there under different labels" in answer.stderr
    assert "inspections/pictures  (report: inspections/pictures/report.html)" in answer.stderr
    assert answer.stderr.splitlines()[-1].startswith("next: telltale inspect pictures --model mobilenetv2_100")
    assert (tmp_path / "inspections" / "pictures" / "report.html").is_file()


def test_json_is_one_object_and_nothing_else(cli, pictures, tmp_path):
    for name in ("train", "test"):
        shutil.copytree(pictures, tmp_path / "divided" / name)
    answer = cli("inspect", "divided", "--json", "-o", "out", "--mirrored", "--img-size", 32)
    assert answer.code == 0, answer
    content = json.loads(answer.stdout)
    assert content["verdict"].startswith("40 of 40 pictures of validation and test have a copy")
    assert len(content["leaks"]) == 40
    assert content["folder"] == "out"
    assert content["settings"] == {
        "model": "", "weights": "", "img_size": 32, "labels_fix": "", "mirrored": True, "lookalikes": False,
        "seed": 0,
    }  # fmt: skip
    assert content["notes"] == []
    words = cli("inspect", "divided", "-o", "words", "--mirrored")
    assert words.stderr.splitlines()[-1] == ("next: telltale train divided --set mirrored_duplicates=yes --fix-leaks")
    assert "40 pictures of validation and test are not new" in words.stdout
    assert "… and 35 more" in words.stdout
    assert "test/blue/blue-0.png  =  train/blue/blue-0.png  (same pixels)" in words.stdout


def test_suspects_are_named_and_their_file_can_be_applied(cli, pictures, tmp_path, weights, backbone):
    for n in (1, 2):
        (pictures / "red" / f"red-{n}.png").rename(pictures / "blue" / f"wrong {n}.png")
    network = ("--model", NETWORK, "--img-size", SIDE)
    answer = cli("inspect", "pictures", *network, env={"TELLTALE_WEIGHTS": str(weights)})
    assert answer.code == 0, answer
    assert re.search(r"of 40 labels\. \d+ look wrong to it:", answer.stdout)
    assert "blue/wrong 1.png: labelled 'blue', looks like 'red'" in answer.stdout
    fixes = "inspections/pictures/labels-fix.csv"
    train = f"telltale train pictures --model {NETWORK} --labels-fix {fixes} --img-size {SIDE}"
    assert f"next: edit {fixes}, then {train}" in answer.stderr
    again = cli("inspect", "pictures", "--labels-fix", fixes, "--mirrored")
    assert again.code == 0, again
    assert re.search(r"red +10 ", again.stdout)
    assert re.search(r"labels-fix\.csv: \d+ labels changed\.", again.stderr)
    way = f"next: telltale inspect pictures --model mobilenetv2_100 --labels-fix {fixes} --mirrored   ("
    assert again.stderr.splitlines()[-1].startswith(way)


def test_a_weak_network_does_not_accuse(cli, tmp_path, weights, backbone):
    # Noise with labels at random: half of them are a guess.
    for n in range(40):
        path = tmp_path / "noise" / "ab"[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((64, 64), 60).save(path)
    (tmp_path / "my fix.csv").write_text("file,given,suggested\na/0.png,a,\n")
    network = ("--model", NETWORK, "--img-size", SIDE, "--weights", weights / f"{NETWORK}.safetensors")
    answer = cli("inspect", "noise", *network, "--labels-fix", "my fix.csv", "-o", "out")
    assert answer.code == 0, answer
    assert "It is too weak to call others wrong: most of these" in re.sub(r"\s+", " ", answer.stdout)
    assert "look wrong to it" not in answer.stdout
    last = answer.stderr.splitlines()[-1]
    assert last.startswith(f"next: telltale train noise --model {NETWORK} --weights ")
    assert last.endswith(f"--labels-fix 'my fix.csv' --img-size {SIDE}")


def test_no_way_on_where_nothing_can_be_learned(cli, pictures):
    for name in ("blue", "green", "yellow"):
        shutil.rmtree(pictures / name)
    answer = cli("inspect", "pictures")
    assert answer.code == 0, answer
    assert answer.stderr.splitlines()[-1].startswith("next: add pictures: judging labels and training take two classes")


def test_columns_of_a_table(cli, tmp_path):
    rows = ["bild,art,teil,patient"]
    for n in range(8):
        Image.effect_noise((64, 48), 60).save(tmp_path / f"{n}.png")
        rows.append(f"{n}.png,{'ab'[n % 2]},{'train' if n < 6 else 'test'},{n // 2 if n < 6 else 0}")
    (tmp_path / "tabelle.csv").write_text("\n".join(rows) + "\n")
    columns = ("--image-col", "bild", "--label-col", "art", "--split-col", "teil", "--group-col", "patient")
    words = cli("inspect", "tabelle.csv", *columns)
    assert words.stderr.splitlines()[-1] == f"next: telltale train tabelle.csv {' '.join(columns)} --fix-leaks"
    answer = cli("inspect", "tabelle.csv", *columns, "--json")
    assert answer.code == 0, answer
    assert {row["kind"] for row in json.loads(answer.stdout)["leaks"]} == {"same group"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("nowhere",), "nowhere"),
        (("pictures", "--labels-fix", "pictures"), "pictures"),
        (("pictures", "--img-size", "3"), "img_size is 3"),
        (("pictures", "--model", "cnn"), "cnn"),
        (("pictures", "-o", "pictures"), "is not empty"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_is_three_lines_and_leaves_nothing(cli, pictures, tmp_path, flags, words):
    before = sorted(tmp_path.rglob("*"))
    answer = cli("inspect", *flags)
    assert answer.code == 2, answer
    assert re.search(r"^error: (?s:.+)^  expected: (?s:.+)^  do: .+", answer.stderr, re.MULTILINE), answer
    assert words in answer.stderr
    assert answer.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before
