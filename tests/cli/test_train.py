"""`telltale train` as users meet it: stopped and resumed, flags that exclude one another, a rate, a proof."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from telltale.cli.console import explained
from telltale.cli.results import print_proof, print_rate
from telltale.delivery.pipeline import train
from telltale.delivery.rate_search import RateSearch
from telltale.delivery.resume_proof import ResumeProof, compare_runs
from telltale.training.rate_finder import RateCurve
from telltale.training.recipe import Recipe

NETWORK, SIDE = "test_efficientnet", 64
QUICK = ("--model", "cnn", "--img-size", "24", "--epochs", "1")
"""A training that needs neither weights nor a conversion."""


def refuse(answer, words: str) -> None:
    """The answer is one message in three parts, with these words."""
    assert answer.code == 2, answer
    assert re.search(r"^error: .+\n  expected: .+\n  do: .+", answer.stderr, re.MULTILINE), answer
    assert re.search(words, answer.stderr), answer
    assert answer.stdout == "", answer


def _hears_ctrl_c():
    """A shell lets what it runs in the background ignore Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def begin_and_stop(folder: Path, *flags: str, number: signal.Signals) -> tuple[int, str, str]:
    """Exit code and output of a training that gets a signal after its second epoch, in the middle of another."""
    command = [sys.executable, "-m", "telltale", "train", "pictures", "--output", "mine", *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, preexec_fn=_hears_ctrl_c, **pipes) as process:
        results = folder / "mine" / "results.csv"
        end = time.monotonic() + 120
        while not (results.is_file() and results.read_text().count("\n") > 2) and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_sigterm_saves_and_resume_goes_on(cli, pictures, tmp_path):
    flags = ("--model", "cnn", "--img-size", "24", "--epochs", "20", "-b", "8", "--patience", "0", "--device", "cpu")
    code, stdout, stderr = begin_and_stop(tmp_path, *flags, number=signal.SIGTERM)
    assert code == 75, stderr
    assert stdout == ""
    assert re.search(r"Stopped after batch \d of epoch \d+; everything is saved\.", stderr), stderr
    assert "next: telltale train --resume mine " in stderr
    assert "Traceback" not in stderr
    answer = cli("train", "--resume", "mine")
    assert answer.code == 0, answer
    assert re.search(r"The training goes on after (batch \d of )?epoch \d+\.", answer.stderr), answer
    recipe = Recipe(model="cnn", img_size=24, epochs=20, batch_size=8, patience=0)
    straight = train(pictures, recipe, output=tmp_path / "straight", device="cpu")
    assert compare_runs(straight.run.folder, tmp_path / "mine")[1] == ""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_ctrl_c_saves_too(pictures, tmp_path):
    flags = ("--model", "cnn", "--img-size", "24", "--epochs", "100000", "--patience", "0")
    code, stdout, stderr = begin_and_stop(tmp_path, *flags, number=signal.SIGINT)
    assert (code, stdout) == (75, ""), stderr
    assert "next: telltale train --resume mine " in stderr
    assert "Traceback" not in stderr
    assert (tmp_path / "mine" / "weights" / "last.json").is_file()


def test_ctrl_c_before_a_training_says_what_is_kept(capsys):
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(typer.Exit) as caught, explained():
            raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught.value.exit_code == 75
    said = " ".join(capsys.readouterr().err.split())
    assert "Interrupted. What was seen so far of the pictures and their features is kept for the next command." in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), r"No DATA was given\.\n  expected: .+ only --resume knows where they are"),
        (("--find-lr",), r"No DATA was given\."),
        (("--resume", "mine", "--find-lr"), r"--resume was given together with --find-lr\."),
        (
            ("--resume", "mine", "--prove-resume", "--label-col", "x"),
            r"--resume was given together with --prove-resume and --label-col\.",
        ),
        (("--resume", "mine", "--label-col", "x"), r"--resume was given together with --label-col\."),
        (("--resume", "mine", "--from", "x"), r"--resume was given together with --from\.\n.+\n  do: Leave --from out"),
        (("pictures", "--find-lr", "--prove-resume"), r"--find-lr and --prove-resume were given together\."),
        (("pictures", "--recipe", "x", "--quality", "fast"), r"--recipe and --quality were given together\."),
        (("--resume", "mine"), r"'mine' is not a run folder"),
        (("pictures", "--find-lr"), r"A probe has no learning rate to find"),
        (("pictures", "--prove-resume"), r"A probe cannot be killed between two steps"),
        (("pictures", "--quality", "fine"), r"quality"),
        (("pictures", "--from", ""), r"--from is empty\."),
        (("--resume", ""), r"--resume is empty\."),
        (("pictures", "--mirror", "pictures/red/red-0.png"), r"red-0\.png cannot hold files"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_flags_that_cannot_be_are_explained(cli, pictures, tmp_path, arguments, words):
    refuse(cli("train", *arguments), words)
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}


def test_flags_without_effect_are_named(cli, pictures):
    answer = cli(
        "train", "pictures", *QUICK, "--weights", "x", "--folds", "2", "--test-split", "0.2", "--set", "factor=0.5"
    )
    assert answer.code == 0, answer
    assert "warning: --weights has no effect from scratch: it is for pretrained networks." in answer.stderr
    assert "warning: --test-split has no effect on a cross-validation" in answer.stderr
    assert "warning: --set factor has no effect without --set schedule=step or schedule=plateau." in answer.stderr


def test_flags_without_effect_on_a_probe_are_named(cli, pictures, weights):
    flags = ("--model", NETWORK, "--img-size", SIDE, "--epochs", "3", "--augment", "flip", "--set", "hidden=9")
    answer = cli("train", "pictures", *flags, env={"TELLTALE_WEIGHTS": str(weights)})
    assert answer.code == 0, answer
    assert "warning: --set hidden has no effect on a probe: it is for --fit finetune" in answer.stderr
    assert "warning: --epochs has no effect on a probe: it is for --fit finetune and --fit scratch." in answer.stderr
    assert "warning: --augment has no effect on a probe without --set views=N." in answer.stderr


def test_a_search_for_the_rate_ends_with_the_next_command(cli, pictures, tmp_path):
    flags = ("--model", "cnn", "--img-size", "24", "-b", "4", "--augment", "flip,rotation=20", "--set", "clip=1")
    answer = cli("train", "pictures", *flags, "--find-lr", "--lr", "3", "--output", "rate")
    assert answer.code == 0, answer
    rate = re.search(r"^Train with a learning rate of ([\d.e-]+): a tenth of the largest of \d+ rates", answer.stdout)[
        1
    ]
    assert "warning: --lr has no effect on --find-lr, which looks for one." in answer.stderr
    following = (
        f"next: telltale train pictures --model cnn --batch-size 4 --img-size 24 --augment {flags[7]} --set clip=1"
    )
    assert f"{following} --lr {rate}\n" in answer.stderr
    assert {path.name for path in (tmp_path / "rate").iterdir()} == {"lr_finder.csv", "lr_finder.png"}


def test_a_rate_is_printed_as_json(capsys, tmp_path):
    curve = RateCurve((1e-6, 1e-5, 1e-4), (0.7, 0.6, 0.5), 1e-5)
    print_rate(RateSearch(curve, tmp_path, 2.5), "telltale train pictures", True)
    content = json.loads(capsys.readouterr().out)
    assert content == {"lr": 1e-5, "folder": str(tmp_path), "seconds": 2.5, "curve": curve.rows}
    assert content["curve"][0] == {"lr": 1e-6, "loss": 0.7}


def test_resume_is_proven_on_ones_own_pictures(cli, pictures, tmp_path):
    flags = ("--model", "cnn", "--img-size", "24", "--epochs", "2", "-b", "8", "--device", "cpu")
    answer = cli("train", "pictures", *flags, "--prove-resume", "--output", "x", "--json")
    assert answer.code == 0, answer
    content = json.loads(answer.stdout)
    assert (content["equal"], content["difference"], content["steps"], len(content["kills"])) == (True, "", 8, 2)
    assert "warning: --output has no effect on --prove-resume, which leaves no run behind." in answer.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}


def test_a_proof_is_said_in_words(capsys):
    compared = ("10 tensors of weights/best", "3 rows of results.csv")
    print_proof(ResumeProof(12, (3, 7), compared, "", 2.5), False)
    assert capsys.readouterr().out == (
        "Equal, bit for bit: a training left alone and one killed after 3 and 7 of 12 steps and resumed.\n"
        "The same in both: 10 tensors of weights/best and 3 rows of results.csv.\n"
    )


@pytest.mark.parametrize("as_json", [False, True])
def test_a_proof_that_fails_has_exit_code_1(capsys, as_json):
    with pytest.raises(typer.Exit) as caught:
        print_proof(ResumeProof(12, (3, 7), (), "results.csv: row 1 is 'a' and 'b'", 2.5), as_json)
    assert caught.value.exit_code == 1
    said = capsys.readouterr().out
    if as_json:
        assert json.loads(said)["equal"] is False
    else:
        assert said.splitlines()[0].startswith("Not equal: ")
        assert said.splitlines()[1] == "The first difference: results.csv: row 1 is 'a' and 'b'."


def test_named_recipes_presets_and_other_starts(cli, pictures, weights, tmp_path):
    env = {"TELLTALE_WEIGHTS": str(weights)}
    named = cli("train", "pictures", "--recipe", "cats-dogs-cnn-augmented", *QUICK[2:], "--output", "named", env=env)
    assert named.code == 2, named  # one sigmoid output, four classes
    assert "output is 'sigmoid', and there are 4 classes" in named.stderr
    named = cli(
        "train", "pictures", "--recipe", "cats-dogs-cnn-augmented", *QUICK[2:], "--output", "named", "--set",
        "output=softmax", "-b", "0", "--time", "1h",
    )  # fmt: skip
    assert named.code == 0, named
    assert "Batch size 8: " in named.stderr
    started = cli("train", "pictures", "--from", "named", "--epochs", "1", "--output", "started")
    assert started.code == 0, started
    assert "A new training that starts from the weights of named (cnn, 24 pixels)." in started.stderr
    assert "Head first: the probe's validation accuracy is" in started.stderr


def test_mirrors_are_tried_first_and_the_end_says_what_is_where(cli, pictures, tmp_path):
    flags = ("train", "pictures", *QUICK, "--mirror", "one", "--mirror", "two")
    first = cli(*flags)
    assert first.code == 0, first
    lines = first.stderr.splitlines()
    tried = [place for line in lines for place in re.findall(r"^Mirror (\w+): written, read and deleted", line)]
    assert tried == ["one", "two"]
    assert [line for line in lines if line.startswith("mirror ")] == [f"mirror {name} has everything" for name in tried]
    shutil.rmtree(tmp_path / "runs")
    again = cli(*flags, "--json")
    assert again.code == 0, again
    assert "This training is finished, and nothing is left to do." in again.stderr
    assert [one["result"] for one in json.loads(again.stdout)["mirrors"]] == [True, True]
    assert json.loads(again.stdout)["test"]["looks"] == 1


def test_a_mirror_without_room_does_not_stop_the_training_and_the_exit_code_says_so(cli, pictures, small_disk):
    small = small_disk("small", "300k")
    answer = cli("train", "pictures", *QUICK, "--mirror", "small", "--set", "mirror_wait=2s", "--json")
    assert answer.code == 1, answer
    assert "error: not everything is in small; the run folder has it all." in answer.stderr
    assert "  do: telltale train --resume runs/pictures   (sends what is missing)" in answer.stderr
    (standing,) = json.loads(answer.stdout)["mirrors"]
    assert "There is no room left in small" in standing["error"]
    subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
    later = cli("train", "--resume", "runs/pictures")
    assert later.code == 0, later
    assert "mirror small has everything" in later.stderr.replace(f"{small}", "small")
    assert "is finished, and nothing is left to do" in later.stderr


def test_a_full_disk_does_not_end_the_training(cli, pictures, small_disk):
    small_disk("out", "1800k")  # a checkpoint takes 2.5 MB, the classifier and what is said of it 1.3 MB
    answer = cli("train", "pictures", "--model", "cnn", "--img-size", "64", "--epochs", "2", "--output", "out/run")
    assert "warning: Not saved: No space left to write" in answer.stderr, answer
    assert re.search(r"^epoch 2 of 2: ", answer.stderr, re.MULTILINE), answer
    assert answer.code == 0, "there is room for the classifier"
