"""Do augmented copies of the training pictures help a probe? Accuracy in cross-validation, picture by picture.

    python benchmarks/probe_views.py [DATA] [--model mobilenetv2_035] [--folds 6] [--weights FOLDER]

Each fold is tested once with a head that four sixths of the pictures taught and another sixth chose the penalty of;
copies are of the pictures that teach only. *Gained* and *lost*: pictures that are right with copies and wrong without,
and the other way round; *p*: how probable so uneven a division of these pictures is by chance (sign test, two-sided).
"""

import argparse
import math
import os
import tempfile
import time
from pathlib import Path

import numpy as np

SHARED = Path(__file__).parents[2] / "shared"
VARIANTS = {
    "1 mirrored": (("flip@1",), 1),
    "1 light": (("light",), 1),
    "3 light": (("light",), 3),
    "3 medium": (("medium",), 3),
}
"""Augmentation and number of copies."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=SHARED / "data" / "dog_breeds.zip")
    parser.add_argument("--model", default="mobilenetv2_035")
    parser.add_argument("--folds", type=int, default=6)
    parser.add_argument("--weights", type=Path, default=SHARED / "weights")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {"TELLTALE_CACHE": cache, "TELLTALE_WEIGHTS": str(options.weights.resolve())}
        compare(options)


def compare(options):
    from telltale.data.index import scan
    from telltale.model.features import features
    from telltale.training.fitting import open_extractor
    from telltale.training.recipe import Recipe
    from telltale.training.views import Views, view_features

    index = scan(options.data)
    extractor = open_extractor(Recipe(model=options.model), device="cpu")
    plain = features(index, extractor)
    folds = deal(index.codes, options.folds)
    print(f"{len(index):,} pictures, {len(index.classes)} classes, {options.model} @{extractor.preprocess.size}")
    without = score([plain], plain, index, folds)
    for name, (augment, count) in VARIANTS.items():
        views = Views(augment, count)
        copies = [view_features(index, extractor, views, number=number) for number in range(1, count + 1)]
        start = time.perf_counter()
        right = score([plain, *copies], plain, index, folds)
        gained, lost = int((right & ~without).sum()), int((without & ~right).sum())
        print(
            f"{name}: {right.mean():.4f} (none: {without.mean():.4f}), gained {gained}, lost {lost}, "
            f"p {sign_test(gained, lost):.2f}; heads {time.perf_counter() - start:.0f} s",
            flush=True,
        )


def deal(codes, folds):
    """The fold of each picture: classes evenly over folds."""
    fold = np.zeros(len(codes), int)
    for code in np.unique(codes):
        rows = np.random.default_rng(int(code)).permutation(np.flatnonzero(codes == code))
        fold[rows] = (np.arange(len(rows)) + code) % folds
    return fold


def score(taught, plain, index, folds):
    """Whether each picture is named rightly while its fold is the test."""
    from telltale.model.head import fit_head

    codes, right = np.asarray(index.codes), np.zeros(len(index), bool)
    count = folds.max() + 1
    for number in range(count):
        test, chooses = folds == number, folds == (number + 1) % count
        teach = ~(test | chooses)
        head, _ = fit_head(
            np.concatenate([each[teach] for each in taught]),
            np.tile(codes[teach], len(taught)),
            val_features=plain[chooses],
            val_labels=codes[chooses],
            classes=len(index.classes),
        )
        right[test] = head.logits(plain[test]).argmax(axis=1) == codes[test]
    return right


def sign_test(gained, lost):
    """Two-sided probability of a division at least so uneven where both sides are equally likely."""
    count = gained + lost
    tail = sum(math.comb(count, number) for number in range(min(gained, lost) + 1)) / 2**count
    return min(1.0, 2 * tail)


if __name__ == "__main__":
    main()
