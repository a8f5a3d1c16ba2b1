import hashlib

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from telltale.batches.preprocess import Preprocess
from telltale.data.decoding import decode
from telltale.data.samples import SHAPES, SIZE, Samples, draw_picture, draw_samples
from telltale.errors import DataError, ImageError, OutputError


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return draw_samples(tmp_path_factory.mktemp("samples") / "shapes", count=400)


def digests(samples: Samples) -> dict[str, str]:
    files = sorted(path for path in samples.folder.rglob("*") if path.is_file())
    return {
        path.relative_to(samples.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def pixels(samples: Samples, path: str):
    return decode((samples.folder / path).read_bytes()).pixels


def test_the_same_seed_draws_the_same_bytes(tmp_path):
    first, again = (draw_samples(tmp_path / name, seed=3, count=60) for name in ("first", "again"))
    other = draw_samples(tmp_path / "other", seed=4, count=60)
    assert digests(first) == digests(again)
    assert digests(first).keys() == digests(other).keys()
    assert digests(first) != digests(other)


def test_there_is_one_folder_per_class_and_nothing_beside(samples):
    names = sorted(path.name for path in samples.folder.iterdir())
    assert names == list(SHAPES) == sorted(SHAPES)
    assert [path.name for path in samples.folder.parent.iterdir()] == ["shapes"]
    for name in names:
        assert 100 <= len(list((samples.folder / name).iterdir())) <= 103


def test_every_planted_path_is_there_and_no_number_is_taken_twice(samples):
    for paths in samples.planted.values():
        assert paths
        for path in paths:
            assert (samples.folder / path).is_file()
    stems = [path.stem for path in samples.folder.rglob("*.*")]
    assert len(stems) == len(set(stems)) == 400 + 5


@pytest.mark.parametrize("reason", ["truncated", "html"])
def test_broken_files_are_refused_with_their_reason(samples, reason):
    (path,) = samples.planted[reason]
    with pytest.raises(ImageError) as caught:
        pixels(samples, path)
    assert caught.value.reason == reason


def test_all_other_files_are_pictures_of_one_size_but_one(samples):
    broken = {*samples.planted["truncated"], *samples.planted["html"]}
    odd = {path for path in digests(samples) if path not in broken and pixels(samples, path).shape != (SIZE, SIZE, 3)}
    assert odd == set(samples.planted["odd_size"])


def test_copies_have_equal_pixels_and_one_has_other_bytes(samples):
    copies = samples.planted["copies"]
    assert len({path.split("/")[0] for path in copies}) == 1
    assert len({digests(samples)[path] for path in copies}) == 2
    for path in copies[1:]:
        np.testing.assert_array_equal(pixels(samples, path), pixels(samples, copies[0]))


def test_no_other_pictures_are_equal(samples):
    copies = set(samples.planted["copies"])
    rest = [digest for path, digest in digests(samples).items() if path not in copies]
    assert len(rest) == len(set(rest))


def test_wrong_labels_are_few(samples):
    assert 3 <= len(samples.planted["wrong_label"]) <= 6


def test_a_linear_rule_on_pixels_is_far_from_enough(samples):
    left_out = {path for kind in ("truncated", "html", "copies") for path in samples.planted[kind]}
    paths = [path for path in digests(samples) if path not in left_out]
    preprocess = Preprocess(size=24)
    values = np.stack([preprocess.apply(pixels(samples, path)).ravel() / 255 for path in paths])
    labels = np.array([path.split("/")[0] for path in paths])
    order = np.random.default_rng(0).permutation(len(paths))
    train, test = order[:280], order[280:]
    principal = PCA(60, random_state=0).fit(values[train])
    rule = LogisticRegression(C=0.1, max_iter=500).fit(principal.transform(values[train]), labels[train])
    assert rule.score(principal.transform(values[test]), labels[test]) < 0.6
    middles = {name: values[train][labels[train] == name].mean(0) for name in SHAPES}
    nearest = [min(middles, key=lambda name: ((middles[name] - one) ** 2).sum()) for one in values[test]]
    assert np.mean(labels[test] == nearest) < 0.6


def test_one_shape_is_drawn_in_many_ways():
    rng = np.random.default_rng(0)
    pictures = np.stack([draw_picture("cross", rng) for _ in range(40)]).astype(float)
    assert pictures.mean((1, 2)).std(0).min() > 15, "colours vary"
    assert pictures.std(0).min() > 15, "every place is sometimes covered and sometimes not"


def test_a_full_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"already has something in it\. A new or empty folder"):
        draw_samples(tmp_path, count=60)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "here").mkdir()
    assert (draw_samples(tmp_path / "here", count=60).folder / "ring").is_dir()


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        draw_samples(tmp_path / "file" / "shapes", count=60)


def test_too_few_pictures_are_refused(tmp_path):
    with pytest.raises(DataError, match="3 built-in pictures were asked for"):
        draw_samples(tmp_path / "few", count=3)
    assert not (tmp_path / "few").exists()
