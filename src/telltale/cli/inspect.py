"""`telltale inspect`."""

import json
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer import Argument, Option

from telltale.cli.console import explained, progress, say

if TYPE_CHECKING:
    from telltale.data.source import Columns
    from telltale.delivery.inspection import Inspection, InspectionSettings

WIDTH: Final = 80
"""Columns of a sentence."""

SHOWN: Final = 5
"""Suspects and leaking pairs that the terminal names; the report and the files have more."""


def inspect(
    data: Annotated[
        str,
        Argument(
            metavar="DATA",
            help="Folder, table (.csv .tsv .jsonl .parquet), archive (.zip .tar .tar.gz), or URL of one.",
        ),
    ],
    model: Annotated[
        str, Option(help="Network that finds labels that are probably wrong, such as mobilenetv2_100. [default: none]")
    ] = "",
    weights: Annotated[
        str, Option(help="Its pretrained weights, .safetensors or .pth. [default: TELLTALE_WEIGHTS, then the hub]")
    ] = "",
    labels_fix: Annotated[str, Option(help="labels-fix.csv of an earlier inspection: its labels count.")] = "",
    mirrored: Annotated[bool, Option("--mirrored", help="Mirror images of each other count as copies too.")] = False,
    lookalikes: Annotated[
        bool, Option("--lookalikes", help="With --model: other crops and shots of one scene count as copies too.")
    ] = False,
    output: Annotated[Path | None, Option("-o", "--output", help="Folder. [default: inspections/NAME]")] = None,
    img_size: Annotated[
        int | None, Option(help="Height and width of the input. [default: what fits the network or the pictures]")
    ] = None,
    image_col: Annotated[str, Option(help="Table: column of the picture's path or id.")] = "",
    label_col: Annotated[str, Option(help="Table: column of the label.")] = "",
    split_col: Annotated[str, Option(help="Table: column of train, validation or test.")] = "",
    group_col: Annotated[str, Option(help="Table: column of what must stay together (patient, scene, burst).")] = "",
    device: Annotated[str, Option(help="auto, cpu or cuda.")] = "auto",
    json_: Annotated[bool, Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Say what is wrong with the pictures and their labels, before anything is learned from them.

    Looks for unreadable, odd, blurred and duplicate pictures, copies across a given split, shortcuts to the label
    and, with --model, wrong labels. Leaves report.html, findings.csv, findings.json and labels-fix.csv in a folder.
    The pictures are only read.
    """
    with explained():
        from telltale.data.source import Columns
        from telltale.delivery.inspection import InspectionSettings
        from telltale.delivery.inspection_pipeline import inspect_source

        settings = InspectionSettings(model, weights, img_size or 0, labels_fix, mirrored, lookalikes)
        columns = Columns(image=image_col, label=label_col, split=split_col, group=group_col)
        with progress() as tell:
            inspection = inspect_source(data, settings, columns=columns, output=output, device=device, tell=tell)
        print_inspection(inspection, columns, json_)


def print_inspection(inspection: "Inspection", columns: "Columns", as_json: bool) -> None:
    """What was found: JSON on standard output, or words on it and the way on beside it."""
    if as_json:
        typer.echo(json.dumps(inspection.to_dict(), indent=2, ensure_ascii=False))
        return
    typer.echo("\n".join([str(inspection.findings), *_leaks(inspection), *_suspects(inspection), *_hints(inspection)]))
    say()
    say(textwrap.fill(inspection.verdict, WIDTH))
    say(f"done in {inspection.seconds:.1f} s: {inspection.folder}  (report: {inspection.report})")
    say(f"next: {_next(inspection, columns)}")


def _leaks(inspection: "Inspection") -> list[str]:
    from telltale.data.splits import describe_leaks
    from telltale.delivery.selection import pick_leaks
    from telltale.words import printable

    pairs = pick_leaks(inspection.index, inspection.leaks, SHOWN)
    if not pairs:
        return []
    lines = [f"  {printable(one.path, 60)}  =  {printable(other.path, 60)}  ({kind})" for one, other, kind in pairs]
    more = len(inspection.leaks) - len(pairs)
    words = textwrap.wrap(describe_leaks(inspection.leaks), WIDTH)
    return ["", *words, *lines, *([f"  … and {more:,} more in {inspection.folder}"] if more else [])]


def _suspects(inspection: "Inspection") -> list[str]:
    from telltale.words import printable

    suspects = inspection.suspects
    if suspects is None:
        return []
    lines = [
        f"  {printable(one.path, 60)}: labelled {printable(one.given, 30)!r}, looks like "
        f"{printable(one.suggested, 30)!r} ({100 * one.confidence:.1f} %)"
        for one in suspects.first(min(SHOWN, suspects.review))
    ]
    more = suspects.review - len(lines)
    agrees = f"The network agrees with {100 * suspects.accuracy.value:.1f} % of {suspects.labelled:,} labels"
    title = f"{agrees}. {suspects.review:,} look wrong to it:" if lines else f"{agrees}, and none looks wrong to it."
    if lines and inspection.weak:
        title = f"{agrees}. It is too weak to call others wrong: most of these {suspects.review:,} may be right."
    words = textwrap.wrap(title, WIDTH)
    return ["", *words, *lines, *([f"  … and {more:,} more in {inspection.fixes}"] if more else [])]


def _hints(inspection: "Inspection") -> list[str]:
    words = [said for _, said in inspection.judged if said]
    return ["", *(line for one in words for line in textwrap.wrap(one, WIDTH))] if words else []


def _next(inspection: "Inspection", columns: "Columns") -> str:
    """The one command that is worth most now."""
    settings, suspects = inspection.settings, inspection.suspects
    if not inspection.judgeable:
        return "add pictures: judging labels and training take two classes, each of several pictures that differ"
    leaking = len(inspection.leaks) > 0
    if suspects is None and not settings.model and not leaking:
        asked = replace(settings, model="mobilenetv2_100")
        mirrored = ["--mirrored"] if settings.mirrored else []
        words = _quoted(["telltale", "inspect", inspection.source, *_flags(asked, columns), *mirrored])
        return f"{words}   (to find labels that are probably wrong)"
    sure = suspects is not None and suspects.review > 0 and not inspection.weak
    known = replace(settings, labels_fix=str(inspection.fixes)) if sure else settings
    more = ["--set", "mirrored_duplicates=yes"] if settings.mirrored else []
    more += ["--set", "lookalikes=yes"] if settings.lookalikes else []
    more += ["--fix-leaks"] if leaking else []
    words = _quoted(["telltale", "train", inspection.source, *_flags(known, columns), *more])
    return f"edit {_quoted([known.labels_fix])}, then {words}" if sure else words


def _flags(settings: "InspectionSettings", columns: "Columns") -> list[str]:
    """What `inspect` and `train` both need to see the same pictures and labels."""
    values = {
        "--model": settings.model,
        "--weights": settings.weights,
        "--labels-fix": settings.labels_fix,
        "--img-size": str(settings.img_size or ""),
        "--image-col": columns.image,
        "--label-col": columns.label,
        "--split-col": columns.split,
        "--group-col": columns.group,
    }
    return [word for flag, value in values.items() if value for word in (flag, value)]


def _quoted(parts: Sequence[str]) -> str:
    """`parts` as they are typed into a shell."""
    from telltale.words import printable

    return shlex.join([printable(part) for part in parts])
