"""`evaluate` knows which pictures are not independent: those of one group, and copies of each other."""

import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
from PIL import Image

from telltale.data.duplicates import FEW, find_duplicates
from telltale.data.index import scan
from telltale.data.manifest import Manifest
from telltale.data.samples import draw_samples
from telltale.data.splits import find_units
from telltale.evaluation.clustered import find_clusters
from telltale.evaluation.scoring import evaluate
from telltale.model.rejection import RejectRule


def group(index, names):
    """`index` with these groups."""
    column = index.table.column_names.index("group")
    return replace(index, table=index.table.set_column(column, "group", pa.array(names, pa.string())))


def width(interval):
    return interval.high - interval.low


def test_pictures_of_a_group_count_together(classifier, pictures):
    index = scan(pictures)
    alone = evaluate(classifier, index)
    assert alone.clusters == 0
    names = [None if row < 10 else f"patient {row // 5}" for row in range(40)]
    found = evaluate(classifier, group(index, names))
    assert found.clusters == 10 + 6
    assert found.metrics["accuracy"].value == alone.metrics["accuracy"].value
    assert width(found.metrics["accuracy"]) > 1.2 * width(alone.metrics["accuracy"])
    assert "The intervals count 16 groups, not 40 pictures." in str(found).replace("\n", " ")


def test_copies_are_no_further_evidence(classifier, pictures):
    for path in list((pictures / "red").iterdir())[:6]:
        path.rename(pictures / "blue" / path.name)
    alone = evaluate(classifier, pictures)
    for path in sorted(pictures.rglob("*.*")):
        if path.is_file():
            for number in range(3):
                shutil.copy(path, path.with_stem(f"{path.stem}_copy_{number}"))
    found = evaluate(classifier, pictures)
    assert (found.images, found.clusters) == (160, 40)
    assert width(found.metrics["accuracy"]) > 0.9 * width(alone.metrics["accuracy"])


def test_groups_of_one_change_nothing(classifier, pictures):
    index = scan(pictures)
    alone, found = evaluate(classifier, index), evaluate(classifier, group(index, [str(row) for row in range(40)]))
    assert (found.clusters, found.metrics, found.per_class) == (0, alone.metrics, alone.per_class)


def test_pictures_saved_again_are_found_among_enough(tmp_path):
    draw_samples(tmp_path / "drawn", count=FEW + 20)
    before = find_clusters(scan(tmp_path / "drawn").readable)
    originals = sorted(path for path in (tmp_path / "drawn").rglob("*_001*.jpg"))[:8]
    for path in originals:
        Image.open(path).save(path.with_stem(f"{path.stem}_again"), quality=60)
    after = find_clusters(scan(tmp_path / "drawn").readable)
    assert len(after) - len(before) == len(originals) > 0
    assert len(np.unique(after)) == len(np.unique(before))


def test_a_few_pictures_that_resemble_each_other_are_not_taken_for_copies(tmp_path):
    """30 blobs: like X-rays they are closer to each other than different photos ever are."""
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:64, :64] / 64
    for row in range(30):
        middle = rng.uniform(0.45, 0.55, 2)
        blob = 200 * np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / rng.uniform(0.06, 0.1))
        folder = tmp_path / ("ill" if row % 2 else "well")
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.uint8(np.clip(blob + rng.normal(20, 5, (64, 64)), 0, 255))).save(folder / f"{row}.png")
    index = scan(tmp_path)
    assert len(np.unique(find_units(index, find_duplicates(index)))) < 10
    assert len(np.unique(find_clusters(index))) == 30


def test_what_is_right_of_new_pictures_counts_groups_too(classifier, pictures):
    index = scan(pictures)
    parts = np.where(np.arange(40) % 10 < 5, 0, 2).astype(np.int8)
    known = replace(classifier, manifest=Manifest.of(index.table, parts, 0.42))
    alone = evaluate(known, index, seen="mark")
    found = evaluate(known, group(index, [f"patient {row // 10}" for row in range(40)]), seen="mark")
    assert width(found.seen.accuracy_on_new) > 1.2 * width(alone.seen.accuracy_on_new)


def test_what_is_accepted_and_what_the_sets_hold_counts_groups_too(classifier, pictures):
    judging = replace(classifier, rule=RejectRule(0.9, 0.6, np.inf, 0.9, 0.4, 40, False))
    index = scan(pictures)
    alone = evaluate(judging, index)
    found = evaluate(judging, group(index, [f"patient {row // 10}" for row in range(40)]))
    assert found.selective.coverage.value == alone.selective.coverage.value
    assert width(found.selective.coverage) > width(alone.selective.coverage)
    assert width(found.selective.accuracy) > width(alone.selective.accuracy)
    assert width(found.sets.coverage) > width(alone.sets.coverage)
