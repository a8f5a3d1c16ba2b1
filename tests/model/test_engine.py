"""Every engine gives the same features, whatever a picture's neighbours, its place or the number of threads."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from telltale.model.engine import best_precision, has_bf16, open_engine

SIDE = 64


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """37 squares of noise: no multiple of any batch."""
    return np.random.default_rng(7).integers(0, 256, (37, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["openvino", "torch"])
def engine(request, backbone):
    """Each engine in turn."""
    found = open_engine(backbone if request.param == "openvino" else replace(backbone, converted=False))
    assert found.kind == request.param
    return found


def test_both_engines_agree(backbone, pictures):
    fast, plain = (open_engine(one).run(pictures) for one in (backbone, replace(backbone, converted=False)))
    assert fast.shape == plain.shape == (37, backbone.dimension)
    assert fast.dtype == plain.dtype == np.float32
    assert plain.std() > 0.01, "a network that says nothing would prove nothing"
    np.testing.assert_allclose(fast, plain, atol=1e-3 * plain.std())


def test_features_do_not_depend_on_neighbours_or_place(engine, pictures):
    together = engine.run(pictures)
    for rows in ([0], [5, 3], [36, 0, 0], list(range(36, -1, -1)), list(range(engine.batch + 1))):
        np.testing.assert_array_equal(engine.run(pictures[rows]), together[rows])


def test_features_do_not_depend_on_threads(engine, pictures):
    together = engine.run(pictures)
    with ThreadPoolExecutor(4) as pool:
        alone = list(pool.map(lambda row: engine.run(pictures[row : row + 1]), range(len(pictures))))
    np.testing.assert_array_equal(np.concatenate(alone), together)


def test_features_do_not_depend_on_the_number_of_streams(backbone, pictures):
    one, three = (open_engine(backbone, threads=count).run(pictures) for count in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_no_pictures_give_no_features(engine, backbone, pictures):
    assert engine.run(pictures[:0]).shape == (0, backbone.dimension)


def test_pictures_need_not_lie_in_one_piece(engine, pictures):
    np.testing.assert_array_equal(engine.run(pictures[::2, ::-1]), engine.run(pictures[::2, ::-1].copy()))


def test_bf16_stays_near_f32(backbone, pictures):
    if not has_bf16():
        pytest.skip("needs a processor with bf16")
    assert best_precision(backbone, "cpu") == "bf16"
    fast, exact = (open_engine(backbone, precision=precision).run(pictures) for precision in ("bf16", "f32"))
    difference = np.abs(fast - exact).max() / exact.std()
    assert 0 < difference < 0.2


def test_the_best_precision_is_that_of_the_runner(backbone):
    assert best_precision(replace(backbone, converted=False), "cpu") == "f32"
    assert best_precision(backbone, "cuda") == "bf16"
