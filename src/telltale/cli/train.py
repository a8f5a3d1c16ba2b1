"""`telltale train`."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

from typer import Argument, Context, Option

from telltale.cli.console import explained, progress
from telltale.cli.results import print_proof, print_rate, print_training
from telltale.cli.settings import check_together, choose, find_idle, read_base, read_pairs, repeat
from telltale.progress import Note

NOT_REPEATED: Final = ("find_lr", "lr", "output", "json_")
"""Flags of a search for the learning rate that are not those of the training that follows."""


def train(
    context: Context,
    data: Annotated[
        str,
        Argument(
            metavar="DATA",
            help="Folder, table (.csv .tsv .jsonl .parquet), archive (.zip .tar .tar.gz), or URL of one. "
            "Not needed with --resume.",
        ),
    ] = "",
    model: Annotated[
        str | None, Option(help="Network: a name of `telltale models`, or cnn. [default: mobilenetv2_100]")
    ] = None,
    fit: Annotated[
        str | None,
        Option(
            help="probe: frozen network, new head. finetune: then the layers too, with smaller rates. "
            "scratch: random weights. [default: probe; scratch for cnn]"
        ),
    ] = None,
    quality: Annotated[
        str | None, Option(help="fast, balanced or best: choose network, input size, fit and augmentation for me.")
    ] = None,
    weights: Annotated[
        str | None, Option(help="Pretrained weights, .safetensors or .pth. [default: TELLTALE_WEIGHTS, then the hub]")
    ] = None,
    output: Annotated[Path | None, Option(help="Run folder. [default: runs/NAME]")] = None,
    recipe: Annotated[
        str | None,
        Option(help="Settings by name (telltale models --recipes) or from a recipe.toml; flags come after them."),
    ] = None,
    resume: Annotated[
        str | None,
        Option(
            metavar="RUN|MIRROR",
            help="Go on in this run folder, or with the run in this mirror, as if never stopped, or extend it "
            "(--epochs).",
        ),
    ] = None,
    from_: Annotated[
        str | None,
        Option("--from", metavar="RUN", help="A new training from the weights of a run or bundle; classes may differ."),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        Option(
            metavar="PLACE",
            help="A second place for every checkpoint and the result: folder, gs://, s3://, gdrive:// or another URL; "
            "may be repeated; none: leave out those of the run that goes on.",
        ),
    ] = None,
    tracker: Annotated[
        list[str] | None, Option(metavar="NAME", help="Tell tensorboard, wandb or mlflow of it; may be repeated.")
    ] = None,
    epochs: Annotated[
        int | None, Option(help="Passes over the training pictures, at most. [default: finetune 8, scratch 30]")
    ] = None,
    time: Annotated[
        str | None, Option(help="Time until the last step, such as 90s, 10m or 1.5h; the evaluation comes after it.")
    ] = None,
    batch_size: Annotated[
        int | None, Option("-b", "--batch-size", help="Pictures per batch; 0: found by itself. [default: 32]")
    ] = None,
    img_size: Annotated[
        int | None, Option(help="Height and width of the input. [default: what the network was made for]")
    ] = None,
    lr: Annotated[float | None, Option(help="Largest learning rate. [default: finetune 0.0005, scratch 0.001]")] = None,
    find_lr: Annotated[
        bool, Option("--find-lr", help="Only look for a good learning rate: its curve, and the next command.")
    ] = False,
    patience: Annotated[
        int | None, Option(help="Stop after so many epochs without improvement; 0: never. [default: 12]")
    ] = None,
    freeze: Annotated[
        float | None, Option(help="Share of the backbone's layers that stay as they are, 0 to 1.")
    ] = None,
    augment: Annotated[
        str | None, Option(help="Random changes of training pictures: presets or terms such as flip,rotation=20.")
    ] = None,
    seed: Annotated[int | None, Option(help="Seed of split, weights and order. [default: 0]")] = None,
    val_split: Annotated[
        float | None, Option(help="Share for validation where the source names none. [default: 0.15]")
    ] = None,
    test_split: Annotated[
        float | None, Option(help="Share for the test where the source names none. [default: 0.15]")
    ] = None,
    folds: Annotated[
        int | None, Option(help="Cross-validation: train so many times, so that every picture is tested once.")
    ] = None,
    precision: Annotated[
        float | None,
        Option(help="Share right that accepted answers are to have; 0: answer always. [default: 0.99]"),
    ] = None,
    fix_leaks: Annotated[
        bool | None,
        Option("--fix-leaks", help="Move copies of earlier pictures out of the source's validation and test parts."),
    ] = None,
    labels_fix: Annotated[
        str | None, Option(help="Corrected labels: the CSV that `telltale inspect --model` wrote, edited by you.")
    ] = None,
    image_col: Annotated[str, Option(help="Table: column of the picture's path or id.")] = "",
    label_col: Annotated[str, Option(help="Table: column of the label.")] = "",
    split_col: Annotated[str, Option(help="Table: column of train, validation or test.")] = "",
    group_col: Annotated[str, Option(help="Table: column of what must stay together (patient, scene, burst).")] = "",
    device: Annotated[str, Option(help="auto, cpu or cuda.")] = "auto",
    set_: Annotated[
        list[str] | None, Option("--set", metavar="NAME=VALUE", help="Any other setting of the recipe.")
    ] = None,
    prove_resume: Annotated[
        bool, Option("--prove-resume", help="Only check, on your data, that a killed training goes on bit for bit.")
    ] = False,
    json_: Annotated[bool, Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Train a classifier and say how good it is on pictures it has never seen.

    Looks at the pictures, splits them, trains, evaluates, and leaves everything in a run folder: the classifier
    (model.telltale), the settings, the split, evaluation.json and report.html.
    """
    usual = {
        "model": model, "fit": fit, "weights": weights, "start_from": from_, "epochs": epochs, "time": time,
        "batch_size": batch_size, "img_size": img_size, "lr": lr, "patience": patience, "freeze": freeze,
        "seed": seed, "val_split": val_split, "test_split": test_split, "folds": folds, "precision": precision,
        "fix_leaks": fix_leaks,
        "labels_fix": labels_fix, "mirrors": tuple(one for one in mirror if one != "none") if mirror else None,
        "trackers": tuple(tracker) if tracker else None,
    }  # fmt: skip
    others = {
        "--find-lr": find_lr, "--prove-resume": prove_resume, "--recipe": recipe, "--quality": quality,
        "--from": from_, "--image-col": image_col, "--label-col": label_col,
        "--split-col": split_col, "--group-col": group_col,
    }  # fmt: skip
    job = "find-lr" if find_lr else "prove-resume" if prove_resume else "train"
    flags: dict[str, Any] = {name: value for name, value in usual.items() if value is not None}
    texts = {} if augment is None else {"augment": augment}
    written = {name: f"--{name.replace('_', '-')}" for name in (*flags, *texts)}
    written |= {name: f"--{name.removesuffix('s')}" for name in flags if name in ("mirrors", "trackers")}
    written |= {"folder": "--output"} if output and resume is None else {}
    with explained():
        check_together(data, resume, others)
        from telltale.data.source import Columns
        from telltale.delivery import pipeline, rate_search, restoring, resume_proof

        columns = Columns(image=image_col, label=label_col, split=split_col, group=group_col)
        with progress() as tell:
            known = restoring.bring_back(resume, output, tell).folder if resume is not None else None
            base = read_base(recipe, known, tell)
            if quality is not None:
                base = choose(quality, data, columns, device=device, flags=flags, tell=tell)
            pairs = read_pairs(set_ or [])
            settings = replace(base, **flags).with_settings(texts | pairs)
            for words, why in find_idle(settings, written | {name: f"--set {name}" for name in pairs}, job):
                tell(Note(f"{words} has no effect {why}.", warning=True))
            about: dict[str, Any] = {"columns": columns, "device": device, "tell": tell}
            if known is not None:
                done = pipeline.resume(known, source=data, recipe=settings, device=device, tell=tell)
            elif find_lr:
                found = rate_search.search_rate(data, settings, output=output, **about)
            elif prove_resume:
                proof = resume_proof.prove_resume(data, settings, **about)
            else:
                done = pipeline.train(data, settings, output=output, **about)
        if find_lr:
            print_rate(found, repeat(context, without=NOT_REPEATED, also=["--lr", f"{found.curve.best:g}"]), json_)
        elif prove_resume:
            print_proof(proof, json_)
        else:
            print_training(done, json_, following=f"telltale predict {shlex.quote(str(done.run))} PHOTO.jpg")
