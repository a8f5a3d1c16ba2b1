"""`telltale compare`."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Context, Option

from telltale.cli.console import INTERRUPTED, explained, progress, say
from telltale.cli.settings import read_pairs, repeat
from telltale.errors import Interrupted


def compare(
    context: Context,
    what: Annotated[
        list[str],
        Argument(metavar="RUN RUN... | DATA", help="Run folders to compare; or data, to train on with each --model."),
    ],
    model: Annotated[
        list[str] | None, Option(help="DATA: a network to try, as for telltale train; may be repeated.")
    ] = None,
    quality: Annotated[
        list[str] | None, Option(help="DATA: fast, balanced or best, to be tried too; may be repeated.")
    ] = None,
    vary: Annotated[
        list[str] | None,
        Option(metavar="NAME=A,B...", help="DATA: values of a setting to try, such as lr=0.001,0.01; may be repeated."),
    ] = None,
    by: Annotated[str | None, Option(help="DATA: what ranks: accuracy or loss. [default: accuracy]")] = None,
    time: Annotated[str, Option(help="DATA: time for all trainings together, such as 20m or 1.5h.")] = "",
    halving: Annotated[
        bool,
        Option("--halving", help="DATA: train all for a few epochs, the best third for three times as many, …"),
    ] = False,
    fit: Annotated[str | None, Option(help="DATA: probe, finetune or scratch, for all.")] = None,
    epochs: Annotated[int | None, Option(help="DATA: passes over the training pictures, at most.")] = None,
    seed: Annotated[
        int | None, Option(help="DATA: seed of split, weights and order. RUNs: of the bootstrap. [default: 0]")
    ] = None,
    set_: Annotated[
        list[str] | None, Option("--set", metavar="NAME=VALUE", help="DATA: any other setting, for all.")
    ] = None,
    image_col: Annotated[str, Option(help="Table: column of the picture's path or id.")] = "",
    label_col: Annotated[str, Option(help="Table: column of the label.")] = "",
    split_col: Annotated[str, Option(help="Table: column of train, validation or test.")] = "",
    group_col: Annotated[str, Option(help="Table: column of what must stay together (patient, scene, burst).")] = "",
    device: Annotated[str, Option(help="auto, cpu or cuda.")] = "auto",
    output: Annotated[
        Path | None, Option("-o", "--output", help="Folder for the results. [default: comparisons/NAME]")
    ] = None,
    json_: Annotated[bool, Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Which is better, and is that sure? Finished runs on the same test pictures, or new trainings on the same data.

    RUN RUN...: a paired test (McNemar) on the test pictures that the runs have in common, and the pictures where they
    differ. DATA: trains with each of the networks, presets and settings on the same splits, and ranks them.
    """
    tried = {"--model": model, "--quality": quality, "--vary": vary}
    others = {
        "--by": by, "--time": time, "--halving": halving, "--fit": fit, "--epochs": epochs, "--set": set_,
        "--image-col": image_col, "--label-col": label_col, "--split-col": split_col, "--group-col": group_col,
        "--device": device != "auto",
    }  # fmt: skip
    with explained():
        from telltale.data.source import Columns

        if not _check(what, tried, others):
            return _compare_runs(what, seed or 0, output, json_)
        given: dict[str, Any] = {"fit": fit, "epochs": epochs, "seed": seed}
        lists = {"models": model, "qualities": quality, "vary": vary}
        wanted: dict[str, Any] = {name: tuple(values or ()) for name, values in lists.items()}
        wanted |= {"time": time, "halving": halving} | ({"by": by} if by is not None else {})
        wanted["settings"] = {name: value for name, value in given.items() if value is not None} | _read(set_ or [])
        columns = Columns(image=image_col, label=label_col, split=split_col, group=group_col)
        about: dict[str, Any] = {"columns": columns, "device": device, "output": output}
        _search(what[0], wanted, about, as_json=json_, context=context)


def _check(what: Sequence[str], tried: dict[str, Any], others: dict[str, Any]) -> bool:
    """Is it data to train on? Raises `RecipeError` where the flags do not go with what was given."""
    from telltale.errors import RecipeError

    given = [name for name, value in tried.items() if value]
    if len(what) > 1:
        idle = [*given, *(name for name, value in others.items() if value)]
        if idle:
            raise RecipeError(
                f"{len(what)} runs were given together with {' and '.join(idle)}.",
                expected="Those flags with one DATA only: they say what to train.",
                do="Leave them out to compare the runs, or give one DATA to train on.",
            )
        return False
    if not given:
        raise RecipeError(
            f"Only {what[0]!r} was given: there is nothing to compare it with.",
            expected="Two run folders or more; or DATA with networks, presets or settings to try.",
            do=f"Write telltale compare RUN RUN, or telltale compare {shlex.quote(what[0])} --model A --model B.",
        )
    return True


def _compare_runs(paths: Sequence[str], seed: int, output: Path | None, as_json: bool) -> None:
    from telltale.delivery.comparison_page import save_comparison
    from telltale.delivery.run_comparison import compare_runs, name_comparison
    from telltale.files import fresh_folder

    with progress() as tell, fresh_folder("comparisons", name_comparison(paths), output) as folder:
        found = compare_runs(paths, seed=seed, tell=tell)
        page = save_comparison(found, folder, tell=tell)
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), **found.to_dict()}, indent=2, ensure_ascii=False))
        return
    say()
    typer.echo(str(found))
    say()
    say(f"written: {folder}  (page: {page})")
    best = found.best
    say(f"next: telltale evaluate {shlex.quote(str(best.folder))} DATA   (with pictures that no run has seen)")


def _read(pairs: Sequence[str]) -> dict[str, Any]:
    """The settings of `--set NAME=VALUE`, each as the type that it has in a recipe."""
    from telltale.training.recipe import Recipe

    texts = read_pairs(pairs)
    recipe = Recipe().with_settings(texts)
    return {name: getattr(recipe, name) for name in texts}


def _search(data: str, wanted: dict[str, Any], about: dict[str, Any], *, as_json: bool, context: Context) -> None:
    from telltale.delivery.search import search
    from telltale.delivery.search_plan import SearchSettings

    try:
        with progress() as tell:
            found = search(data, SearchSettings(**wanted), tell=tell, **about)
    except Interrupted as error:
        say(f"\n{error.text}")
        say(f"next: {repeat(context, without=['output'], also=['--output', error.run])}   (goes on with the rest)")
        raise typer.Exit(INTERRUPTED) from error
    if as_json:
        typer.echo(json.dumps({"folder": str(found.folder), **found.to_dict()}, indent=2, ensure_ascii=False))
        return
    say()
    typer.echo(str(found))
    say()
    page = f"  (page: {found.page})" if found.page else ""
    say(f"done in {found.seconds:.1f} s: {found.folder}{page}")
    if found.following:
        say(f"next: {found.following}")
