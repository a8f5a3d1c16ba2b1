"""`save_results`: everything that a reader finds in a run folder after a training, from its figures to its report."""

from dataclasses import asdict, replace

from telltale.data.index import identical_pictures
from telltale.delivery.album import draw_album
from telltale.delivery.answers import ANSWERS
from telltale.delivery.card import write_card
from telltale.delivery.content import ReportContent
from telltale.delivery.outcome import Tools, Training
from telltale.delivery.pictures import CONFUSION, write_pictures
from telltale.delivery.report import write_report
from telltale.delivery.report_data import write_report_data
from telltale.delivery.shown_pictures import choose_pictures
from telltale.evaluation.baselines import Baseline, judge_baselines, score_baselines
from telltale.evaluation.learning_curve import draw_learning_curve
from telltale.model.bundle import change_card
from telltale.threads import single_threaded
from telltale.training.fitting import PREVIEW, versions
from telltale.training.ledger import read_looks


def save_results(training: Training, tools: Tools) -> None:
    """Write evaluation.json, validation.json, test_predictions.parquet, the pictures, report.html and report.json.

    The model card in the bundle then says how good the classifier is.
    """
    folder = training.run.folder
    training.test.save(folder / "evaluation.json")
    training.validation.save(folder / "validation.json")
    training.test.save_predictions(folder / ANSWERS)
    heatmaps = write_pictures(training, tools)
    matrix = (folder / CONFUSION).read_bytes()
    content = replace(collect(training, tools), matrix=matrix, heatmaps=heatmaps)
    write_report(folder / "report.html", content)
    write_report_data(folder / "report.json", content)
    change_card(training.run.bundle, write_card(training.classifier, content))


def collect(training: Training, tools: Tools) -> ReportContent:
    """What the report says of a training; the pictures that it shows are decoded here.

    Baselines and the learning curve are about one split: of a cross-validation there are none.
    """
    splits, index = training.splits, training.splits.index
    rows = index.quarantined.table.select(["path", "error", "detail"]).to_pylist()
    counts = {name: part.counts for name, part in splits.named.items()}
    name, share = index.majority
    baselines, curve = tuple[Baseline, ...](), None
    if not training.run.recipe.folds:
        extractor, seed = training.classifier.extractor, training.run.recipe.seed
        with single_threaded():  # many small heads
            baselines = score_baselines(splits, extractor, seed=seed, tell=tools.tell)
            curve = draw_learning_curve(splits, extractor, seed=seed, tell=tools.tell)
    warnings = judge_baselines(baselines, training.test.metrics["accuracy"])
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
        notes=[*index.notes, *splits.notes, *warnings],
        quarantine=[(row["path"], row["error"], row["detail"]) for row in rows],
        identical=identical_pictures(index),
        class_counts={label: {part: counts[part][label] for part in counts} for label in index.classes},
        preview=(training.run.folder / PREVIEW).read_bytes(),
        history=training.run.history if training.run.recipe.how != "probe" else [],
        settings=asdict(training.run.recipe),
        versions=versions(),
        thumbnails=draw_album(index, choose_pictures(training.test).paths),
        created=training.classifier.facts["trained"],
        baselines=baselines,
        curve=curve,
        rule=training.classifier.rule,
        calibrated_on=training.classifier.facts.get("calibration", {}).get("source", ""),
        looks=read_looks(training.run),
    )
