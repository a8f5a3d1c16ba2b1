"""What a network can hardly tell apart is found as pairs; what only shares a class is not."""

import numpy as np
import pytest
from PIL import Image

from telltale.batches.preprocess import Preprocess
from telltale.data.duplicates import add_pairs, find_duplicates
from telltale.data.index import scan
from telltale.model.features import Extractor
from telltale.model.lookalikes import find_lookalikes


@pytest.fixture
def extractor(backbone):
    return Extractor(backbone, Preprocess(64, "crop", backbone.mean, backbone.std), "f32")


@pytest.fixture
def folder(tmp_path):
    """30 scenes of coloured blocks, each alone, but for the first: it is there again, mirrored."""
    rng = np.random.default_rng(3)
    for number in range(30):
        scene = rng.integers(0, 256, (4, 4, 3), np.uint8).repeat(20, 0).repeat(20, 1)
        place = tmp_path / "scenes" / ("odd" if number % 2 else "even")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene).save(place / f"{number:02d}.png")
        if number == 0:
            nudged = np.roll(scene, 2, axis=1)
            Image.fromarray(nudged).save(place / "again.png")
    (tmp_path / "scenes" / "odd" / "broken.png").write_bytes(b"")
    return tmp_path / "scenes"


def test_a_nudged_picture_is_found_and_joins_the_groups(folder, extractor):
    index = scan(folder)
    pairs = find_lookalikes(index, extractor)
    named = {(index.paths[one], index.paths[other]) for one, other in zip(pairs.left, pairs.right, strict=True)}
    assert ("even/00.png", "even/again.png") in named
    assert (pairs.left < pairs.right).all() and (pairs.distance <= 0.44).all()
    alone = find_duplicates(index)
    joined = add_pairs(alone, pairs)
    rows = [index.paths.index(path) for path in ("even/00.png", "even/again.png")]
    assert joined.near[rows[0]] == joined.near[rows[1]] >= 0
    assert (joined.exact == alone.exact).all()
    assert joined.near[index.paths.index("odd/broken.png")] == -1


def test_the_order_of_the_pictures_does_not_matter(folder, extractor):
    index = scan(folder)
    turned = index.take(np.arange(len(index))[::-1])

    def names(of):
        pairs = find_lookalikes(of, extractor)
        return {frozenset((of.paths[one], of.paths[other])) for one, other in zip(pairs.left, pairs.right, strict=True)}

    assert names(index) == names(turned)
