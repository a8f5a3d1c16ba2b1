"""Contents of reports for tests: drawn figures in which everything occurs."""

from dataclasses import replace

import numpy as np

from telltale.delivery.content import ReportContent
from telltale.delivery.page import thumbnail
from telltale.delivery.shown_pictures import choose_pictures
from telltale.evaluation.baselines import Baseline
from telltale.evaluation.calibration import Bin, CalibrationCheck
from telltale.evaluation.conformal import SetCheck
from telltale.evaluation.evaluation import score
from telltale.evaluation.learning_curve import LearningCurve, LearningPoint
from telltale.evaluation.metrics import Interval
from telltale.evaluation.selective import CurvePoint, Selective
from telltale.model.rejection import ACCEPTED, UNLIKE, UNSURE, RejectRule
from telltale.training.ledger import Look

RULE = RejectRule(0.95, 0.8, 3.0, 0.95, 0.1, 500, True)


def evaluated(classes=("cats", "dogs"), images=250, wrong=20, name="test"):
    """The first `wrong` pictures are called what comes after their class, all with about 70 to 100 %."""
    generator = np.random.default_rng(0)
    labels = np.arange(images) % len(classes)
    said = np.where(np.arange(images) < wrong, (labels + 1) % len(classes), labels)
    probabilities = np.eye(len(classes))[said] * 0.7 + 0.3 * generator.dirichlet(np.ones(len(classes)), images)
    return score(labels, probabilities, classes, paths=[f"{name}/{row}.jpg" for row in range(images)])


def full(classes=("cats", "dogs"), **changes):
    """What every training can say."""
    test = evaluated(classes)
    picture = thumbnail(np.full((300, 400, 3), 90, np.uint8))
    content = ReportContent(
        title="pets",
        evaluations={"validation": evaluated(classes, 500, 30, "validation"), "test": test},
        facts={"model": "mobilenetv2_035"},
        notes=["Half of validation became the test part."],
        class_counts={name: {"train": 1000, "validation": 250, "test": 125} for name in classes},
        quarantine=[("cats/1.jpg", "truncated", "The file ends too early."), ("cats/2.jpg", "empty", "No bytes.")],
        identical=[("cats/3.jpg", "cats/3 (copy).jpg")],
        history=[{"epoch": n, "train_loss": 1 / n, "val_loss": 2 / n, "val_accuracy": 1 - 1 / n} for n in (1, 2, 3)],
        settings={"epochs": 20, "flip": True, "weights": ""},
        versions={"telltale": "0.1.0"},
        thumbnails={one.path: picture for one in test.mistakes(5)},
        created="2026-01-05 12:00 UTC",
    )
    return replace(content, **changes)


def judged(classes=("cats", "dogs"), *, images=250, wrong=20, picture=None, **changes):
    """The same with calibration, refusals, sets, baselines, a learning curve, looks, photos and heat maps."""
    test = with_trust(evaluated(classes, images, wrong))
    picture = picture or thumbnail(np.full((300, 400, 3), 90, np.uint8))
    choice = choose_pictures(test)
    points = draw_points(2000)
    content = full(
        classes,
        evaluations={"test": test, "validation": evaluated(classes, 500, 30, "validation")},
        thumbnails={path: picture for path in choice.paths},
        heatmaps={row.path: picture for row in choice.mistakes},
        baselines=(
            Baseline("majority", Interval(0.5, 0.44, 0.56), "always the commonest class"),
            Baseline("file facts", Interval(0.56, 0.5, 0.62), "size and shape of the file"),
            Baseline("border", Interval(0.6, 0.54, 0.66), "the outermost tenth"),
        ),
        curve=LearningCurve(points, {name: points for name in classes}, "Twice as many pictures may add 1 point."),
        rule=RULE,
        looks=(Look("2026-01-05T12:00:00Z", "telltale train", 250), Look("2026-02-01", "telltale evaluate", 250)),
    )
    return replace(content, **changes)


def with_trust(evaluation):
    """The evaluation with calibration, refusals and sets: every 25th picture is unlike, every 12th unsure."""
    rows = np.arange(evaluation.images)
    verdicts = np.where(rows % 25 == 24, UNLIKE, np.where(rows % 12 == 11, UNSURE, ACCEPTED)).astype(np.int8)
    strangeness = np.where(verdicts == UNLIKE, 3.5, 1.0).astype(np.float32)
    points = tuple(CurvePoint(at / 10, Interval(1 - at / 100, 0.85, 1.0), 0.9) for at in range(1, 11))
    bins = tuple(Bin(at / 10, (at + 1) / 10, at / 10 + 0.05, Interval(0.8, 0.6, 0.9), 10 * at) for at in range(5, 10))
    return replace(
        evaluation,
        calibration=CalibrationCheck(1.3, 0.04, Interval(0.012, 0.006, 0.025), bins, bins),
        selective=Selective(0.95, 0.8, Interval(0.88, 0.83, 0.92), Interval(0.96, 0.93, 0.98), 220, 20, 10, points),
        sets=SetCheck(0.95, Interval(0.96, 0.93, 0.98), 1.05, {0: 5, 1: 228, 2: 17}),
        verdicts=verdicts,
        strangeness=strangeness,
    )


def draw_points(most):
    """A learning curve of four sizes."""
    shares = ((8, 0.8), (4, 0.86), (2, 0.9), (1, 0.92))
    return tuple(LearningPoint(most // part, value, value - 0.02, value + 0.02) for part, value in shares)
