"""`inspect_source`: from a source to a folder that says what is wrong with it, the job of `telltale inspect`."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from telltale.batches.preprocess import Preprocess
from telltale.data.duplicates import add_pairs, find_duplicates
from telltale.data.findings import inspect
from telltale.data.fixes import apply_fixes, write_fixes
from telltale.data.index import Index
from telltale.data.leaks import find_leaks
from telltale.data.source import Columns, open_source
from telltale.data.splits import find_units
from telltale.data.subject import Subject
from telltale.delivery.first_look import prepare_network, scan_with
from telltale.delivery.inspection import Inspection, InspectionSettings
from telltale.delivery.inspection_report import write_inspection
from telltale.device import choose_device
from telltale.evaluation.shortcuts import find_shortcuts
from telltale.evaluation.suspects import find_suspects
from telltale.files import fresh_folder, write_json
from telltale.model.features import Extractor
from telltale.model.lookalikes import find_lookalikes
from telltale.progress import Tell, silent

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
    labels-fix.csv. An interrupted or failed inspection leaves none. The source is only read.
    """
    start = time.perf_counter()
    settings = settings or InspectionSettings()
    recipe = settings.recipe
    device = choose_device(device)
    with prepare_network(recipe) as pending:
        opened = open_source(source, columns or Columns(), tell=tell)
        if settings.labels_fix:
            opened = apply_fixes(opened, settings.labels_fix)
        with fresh_folder("inspections", opened.name, output) as folder:
            index, extractor = scan_with(opened, recipe, pending, device=device, tell=tell)
            found = look_for_faults(index, settings, extractor=extractor, tell=tell)
            inspection = replace(found, source=str(source), folder=folder, seconds=time.perf_counter() - start)
            save_inspection(inspection, tell=tell)
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
    suspects = None
    if extractor is not None:
        suspects = find_suspects(index, extractor, units=units, seed=settings.seed, tell=tell)
    size, resize = settings.img_size or findings.statistics.input_size, settings.recipe.resize
    return Inspection(
        findings,
        settings=settings,
        leaks=find_leaks(Subject(index, duplicates).parts, units, duplicates),
        suspects=suspects,
        shortcuts=find_shortcuts(index, units=units, seed=settings.seed, tell=tell),
        preprocess=extractor.preprocess if extractor else Preprocess(size, resize),
    )


def save_inspection(inspection: Inspection, *, tell: Tell = silent) -> None:
    """Write report.html, findings.csv, findings.json and, where labels were judged, labels-fix.csv into its folder."""
    folder, suspects = inspection.folder, inspection.suspects
    inspection.findings.save(folder / "findings.csv")
    write_json(folder / "findings.json", KIND, VERSION, inspection.to_dict())
    if suspects is not None:
        write_fixes(folder / "labels-fix.csv", suspects.first(suspects.review))
    write_inspection(inspection.report, inspection, tell=tell)
