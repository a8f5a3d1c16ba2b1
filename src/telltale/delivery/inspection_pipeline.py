"""`inspect_source`: from a source to a folder that says what is wrong with it, the job of `telltale inspect`."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from telltale.batches.preprocess import Preprocess
from telltale.data.duplicates import add_pairs, find_duplicates
from telltale.data.findings import inspect
from telltale.data.fixes import Fix, apply_fixes, read_fixes, write_fixes
from telltale.data.index import Index
from telltale.data.leaks import find_leaks
from telltale.data.source import Columns, open_source
from telltale.data.splits import find_units
from telltale.data.subject import Subject
from telltale.delivery.first_look import prepare_network, scan_with, tell_notes
from telltale.delivery.inspection import Inspection, InspectionSettings
from telltale.delivery.inspection_report import write_inspection
from telltale.device import choose_device
from telltale.errors import DataError
from telltale.evaluation.shortcuts import find_shortcuts
from telltale.evaluation.suspects import Suspect, Suspects, find_suspects
from telltale.files import fresh_folder, write_json
from telltale.model.features import Extractor
from telltale.model.lookalikes import find_lookalikes
from telltale.progress import Note, Tell, silent

KIND: Final = "inspection"
VERSION: Final = 1


def inspect_source(
    source: str | Path,
    settings: InspectionSettings | None = None,
    *,
    columns: Columns | None = None,
    output: str | Path | None = None,
    device: str = "auto",
    tell: Tell = silent,
) -> Inspection:
    """Scan, check, look for copies, leaks, shortcuts and, with a network, wrong labels: a new folder says it all.

    `output` is that folder (default `inspections/NAME`): report.html, findings.csv, findings.json, and with a network
    labels-fix.csv, which holds the rows of `settings.labels_fix` too. An interrupted or failed inspection leaves none.
    The source is only read.
    """
    start = time.perf_counter()
    settings = settings or InspectionSettings()
    recipe = settings.recipe
    device = choose_device(device)
    with prepare_network(recipe) as pending:
        opened = open_source(source, columns or Columns(), tell=tell)
        earlier: list[Fix] = []
        if settings.labels_fix:
            earlier = read_fixes(settings.labels_fix)
            opened = apply_fixes(opened, settings.labels_fix)
        with fresh_folder("inspections", opened.name, output) as folder:
            index, extractor = scan_with(opened, recipe, pending, device=device, tell=tell)
            tell_notes(index, tell)
            found = look_for_faults(index, settings, extractor=extractor, tell=tell)
            inspection = replace(found, source=str(source), folder=folder, seconds=time.perf_counter() - start)
            save_inspection(inspection, earlier=earlier, tell=tell)
    return replace(inspection, seconds=time.perf_counter() - start)


def look_for_faults(
    index: Index, settings: InspectionSettings, *, extractor: Extractor | None = None, tell: Tell = silent
) -> Inspection:
    """All that an inspection finds in `index`; wrong labels too where there is a network. Nothing is written."""
    duplicates = find_duplicates(index, mirrored=settings.mirrored)
    if settings.lookalikes and extractor is not None:
        duplicates = add_pairs(duplicates, find_lookalikes(index, extractor, tell=tell))
    findings = inspect(index, duplicates=duplicates)
    units = find_units(index, duplicates)
    suspects: Suspects | None = None
    if extractor is not None:
        try:
            suspects = find_suspects(index, extractor, units=units, seed=settings.seed, tell=tell)
        except DataError as error:
            tell(Note(f"No label was judged: {error.given}", warning=True))
    size, resize = settings.img_size or findings.statistics.input_size, settings.recipe.resize
    return Inspection(
        findings,
        settings=settings,
        leaks=find_leaks(Subject(index, duplicates).parts, units, duplicates),
        suspects=suspects,
        shortcuts=find_shortcuts(index, units=units, seed=settings.seed, tell=tell),
        preprocess=extractor.preprocess if extractor else Preprocess(size, resize),
    )


def save_inspection(inspection: Inspection, *, earlier: Sequence[Fix] = (), tell: Tell = silent) -> None:
    """Write report.html, findings.csv, findings.json and, where labels were judged, labels-fix.csv into its folder.

    `earlier` are the fixes that the labels have had already: they lead labels-fix.csv, so that it alone is enough.
    """
    folder, suspects = inspection.folder, inspection.suspects
    inspection.findings.save(folder / "findings.csv")
    write_json(folder / "findings.json", KIND, VERSION, inspection.to_dict())
    if suspects is not None:
        write_fixes(folder / "labels-fix.csv", _join(earlier, suspects.first(suspects.review)))
    write_inspection(inspection.report, inspection, tell=tell)


def _join(earlier: Sequence[Fix], suspects: Sequence[Suspect]) -> list[Fix]:
    """Both, for the labels before any fix: of a picture in both, the suspect with the label that was first given."""
    given = {one.path: one.given for one in earlier}
    later = {one.path: replace(one, given=given.get(one.path, one.given)) for one in suspects}
    return [*(one for one in earlier if one.path not in later), *later.values()]
