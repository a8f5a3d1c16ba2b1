"""`save_results`: everything that a reader finds in a run folder after a training, from its figures to its report."""

from dataclasses import asdict, replace
from typing import Final

from telltale.data.index import identical_pictures
from telltale.delivery.album import draw_album
from telltale.delivery.card import write_card
from telltale.delivery.content import ReportContent
from telltale.delivery.outcome import Training
from telltale.delivery.report import write_report
from telltale.delivery.report_data import write_report_data
from telltale.delivery.shown_pictures import choose_pictures
from telltale.evaluation.picture import draw_confusion
from telltale.files import write_atomic
from telltale.model.bundle import change_card
from telltale.training.fitting import PREVIEW, versions
from telltale.training.ledger import read_looks

CONFUSION: Final = "confusion_matrix.png"


def save_results(training: Training) -> None:
    """Write evaluation.json, validation.json, test_predictions.parquet, confusion_matrix.png, report.html and .json.

    The model card in the bundle then says how good the classifier is.
    """
    folder = training.run.folder
    training.test.save(folder / "evaluation.json")
    training.validation.save(folder / "validation.json")
    training.test.save_predictions(folder / "test_predictions.parquet")
    matrix = draw_confusion(training.test)
    write_atomic(folder / CONFUSION, matrix)
    content = replace(collect(training), matrix=matrix)
    write_report(folder / "report.html", content)
    write_report_data(folder / "report.json", content)
    change_card(training.run.bundle, write_card(training.classifier, content))


def collect(training: Training) -> ReportContent:
    """What the report says of a training; the pictures that it shows are decoded here."""
    splits, index = training.splits, training.splits.index
    rows = index.quarantined.table.select(["path", "error", "detail"]).to_pylist()
    counts = {name: part.counts for name, part in splits.named.items()}
    name, share = index.majority
    return ReportContent(
        title=training.run.name,
        evaluations={"test": training.test, "validation": training.validation},
        facts={
            "data": f"{index.name}: {index.layout}",
            "network": str(training.classifier),
            "majority": f"always saying {name!r} would be right for {share:.1%}",
            "time": f"{training.seconds:.1f} s from the start to the evaluation",
            **({"copies": "; ".join(map(str, training.mirrors))} if training.mirrors else {}),
        },
        notes=[*index.notes, *splits.notes],
        quarantine=[(row["path"], row["error"], row["detail"]) for row in rows],
        identical=identical_pictures(index),
        class_counts={label: {part: counts[part][label] for part in counts} for label in index.classes},
        preview=(training.run.folder / PREVIEW).read_bytes(),
        history=training.run.history if training.run.recipe.how != "probe" else [],
        settings=asdict(training.run.recipe),
        versions=versions(),
        thumbnails=draw_album(index, choose_pictures(training.test).paths),
        created=training.classifier.facts["trained"],
        looks=read_looks(training.run),
    )
