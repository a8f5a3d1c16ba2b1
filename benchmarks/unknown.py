"""How accurate the accepted answers are, how many are accepted, and what is called unknown.

    python benchmarks/unknown.py [--seeds 10] [--model mobilenetv2_035] [--data FOLDER] [--precision 0.99]

A probe is fitted on the 2,000 training photos of cats_and_dogs.zip and calibrated by `calibrate`: cross-fitted on the
same photos. For each seed its 500 validation photos are halved: one half chooses the penalty, the other is scored; so
are the photos of cats_and_dogs_unseen.zip. Then for pictures of other kinds the share that is not accepted, of these
those that are unlike the training pictures, and the share that the threshold on probabilities alone would refuse:
photos of 120 breeds of dogs (to be accepted: they are dogs), drawn pictures and noise, photos of other things. Last,
how often a threshold holds on new pictures when it is set on few: by draws from a model of the cross-fitted photos.
"""

import argparse
import io
import os
import platform
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SHARED = Path(__file__).parents[2] / "shared"
EACH = 60


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--model", default="mobilenetv2_035")
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights")
    parser.add_argument("--precision", type=float, default=0.99)
    options = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "openvino", "pillow"))
    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TELLTALE_WEIGHTS"] = str(options.weights.resolve())
        os.environ.setdefault("TELLTALE_CACHE", cache)
        measure(options)


def processor():
    """The processor's name where Linux says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def measure(options):
    from telltale.data.index import scan
    from telltale.data.splits import given_parts
    from telltale.model.backbone import request_backbone
    from telltale.model.features import FeatureStream, features

    stream = FeatureStream(request_backbone(options.model), size=0, resize="crop", precision="f32", device="cpu")
    names = ("cats_and_dogs", "cats_and_dogs_unseen", "dog_breeds")
    photos = {name: scan(options.data / f"{name}.zip", watcher=stream).readable for name in names}
    extractor = stream.finish()
    photos["whole"] = photos.pop("cats_and_dogs")
    unseen = features(photos["cats_and_dogs_unseen"], extractor), photos["cats_and_dogs_unseen"].codes
    others = {name: extract(extractor, pictures) for name, pictures in strange_pictures().items()}
    others["built-in samples"] = built_in(extractor)
    others |= {f"photo of {name}": extract(extractor, cut) for name, cut in other_photos().items()}
    breeds = features(photos["dog_breeds"], extractor)
    held_out = np.flatnonzero(given_parts(photos["whole"]) != 0)
    rows, refused = [], []
    for seed in range(options.seeds):
        half = np.random.default_rng(seed).permutation(held_out)
        found, scored = learn(photos["whole"], half[: len(half) // 2], half[len(half) // 2 :], extractor, options, seed)
        rows.append((score(found, *scored), score(found, *unseen)))
        refused.append({name: refuse(found, one) for name, one in ({"dog breeds": breeds} | others).items()})
        print(f"  seed {seed}: {found.rule}")
    report(rows, refused, found, others)
    compare(photos["whole"], held_out, extractor, {"dog breeds": breeds, "unseen": unseen[0]} | others)
    simulate(photos["whole"], extractor, options.precision)


def learn(index, chooses, scored, extractor, options, seed):
    """What `calibrate` gives for a probe, and features and labels of the pictures `scored`."""
    from telltale.data.splits import Splits, given_parts
    from telltale.model.features import features
    from telltale.progress import silent
    from telltale.training.calibrating import Aims, calibrate
    from telltale.training.probe import fit_probe

    parts = np.where(given_parts(index) == 0, 0, -1).astype(np.int8)
    parts[chooses], parts[scored] = 1, 2
    splits = Splits(index, parts, radius=0.43)
    probe = fit_probe(splits, extractor, tell=silent)
    aims = Aims(precision=options.precision, seed=seed)
    found = calibrate(splits, extractor, probe.head, penalty=probe.facts["penalty"], aims=aims)
    return found, (features(splits.test, extractor), splits.test.codes)


def score(found, matrix, labels):
    """Numbers accepted, right among them, all, in the prediction sets, unlike; ECE before and after."""
    from telltale.evaluation.calibration import check_calibration
    from telltale.evaluation.conformal import check_sets
    from telltale.model.rejection import ACCEPTED, UNLIKE, judge

    probabilities = found.head.probabilities(matrix)
    verdicts = judge(found.rule, probabilities, found.familiarity.score(matrix))
    right = probabilities.argmax(axis=1) == labels
    check = check_calibration(labels, probabilities, found.head.temperature)
    accepted = verdicts == ACCEPTED
    sets = check_sets(labels, probabilities, found.rule)
    covered = round(sets.coverage.value * len(labels))
    unlike = int((verdicts == UNLIKE).sum())
    counts = int(accepted.sum()), int(right[accepted].sum()), len(labels), covered, unlike
    return (*counts, check.ece_before, check.ece_after.value, right.mean(), sets.mean_size)


def refuse(found, matrix):
    """Shares that are not accepted, that are unlike, and that the probabilities alone refuse."""
    from telltale.model.rejection import ACCEPTED, UNLIKE, judge

    probabilities = found.head.probabilities(matrix)
    verdicts = judge(found.rule, probabilities, found.familiarity.score(matrix))
    alone = judge(found.rule, probabilities, None)
    return (verdicts != ACCEPTED).mean(), (verdicts == UNLIKE).mean(), (alone != ACCEPTED).mean()


def report(rows, refused, found, others):
    for place, name in enumerate(("other half of the validation photos", "cats_and_dogs_unseen")):
        taken = np.array([row[place] for row in rows])
        accepted, right, whole, covered, unlike = taken[:, :5].sum(axis=0)
        print(
            f"\n{name}, {len(rows)} halvings: {taken[:, 7].mean():.3f} right of all; accepted {accepted / whole:.3f} "
            f"(from {min(taken[:, 0] / taken[:, 2]):.3f} to {max(taken[:, 0] / taken[:, 2]):.3f}), of these "
            f"{right / accepted:.4f} right (from {min(taken[:, 1] / taken[:, 0]):.4f}); unlike {unlike / whole:.3f}; "
            f"sets of {found.rule.coverage} cover {covered / whole:.3f}, mean size {taken[:, 8].mean():.2f}; "
            f"ECE {taken[:, 5].mean():.4f} before, {taken[:, 6].mean():.4f} after, "
            f"not above in {(taken[:, 6] <= taken[:, 5]).sum()} of {len(rows)}"
        )
    print(f"\n{'refused':<28}{'pictures':>9}{'refused':>9}{'unlike':>8}{'by probability alone':>22}")
    for name in refused[0]:
        middle = [statistics.mean(one[name][column] for one in refused) for column in range(3)]
        count = len(others[name]) if name in others else 0
        print(f"{name:<28}{count or '':>9}{middle[0]:>9.3f}{middle[1]:>8.3f}{middle[2]:>22.3f}")
    drawn = [np.mean([one[name] for one in refused], axis=0) for name in others if not name.startswith("photo")]
    print(f"{'all drawn and noise':<28}{'':>9}{np.mean(drawn, axis=0)[0]:>9.3f}{np.mean(drawn, axis=0)[1]:>8.3f}")
    size = sum(tensor.nbytes for tensor in found.familiarity.to_tensors().values())
    print(f"familiarity: {size / 1000:.0f} kB")


def compare(index, held_out, extractor, others):
    """Shares beyond the limit at 99 % of cross-fitted training photos, for this strangeness and for other ones."""
    from telltale.data.splits import given_parts
    from telltale.evaluation.held_out import cross_fit
    from telltale.model import familiarity as module
    from telltale.model.features import features
    from telltale.model.head import fit_head

    train, validation = index.take(np.flatnonzero(given_parts(index) == 0)), index.take(held_out)
    known, labels, new = features(train, extractor), train.codes, features(validation, extractor)
    folds = np.random.default_rng(0).permutation(len(train)) % 5
    sets = {"validation photos": new} | others
    head, _ = fit_head(known, labels, val_features=new, val_labels=validation.codes, classes=2)
    logits = cross_fit(known, labels, folds, penalty=0.03, classes=2)

    def length_one(matrix):
        return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-6)

    def fit_principal(count, prepare, matrix, codes):
        module.DIRECTIONS, module._unit_roots = count, prepare
        return module.fit_familiarity(matrix, codes, classes=2).score

    def fit_some(step, prepare, matrix, codes):
        order = np.random.default_rng(2).permutation(len(matrix))[::step]
        return fit_principal(most, prepare, matrix[order], codes[order])

    def fit_nearest(place, prepare, matrix, codes):
        points = prepare(matrix)
        return lambda other: 2 - np.partition(prepare(other) @ points.T, -place, axis=1)[:, -place]

    roots, most = module._unit_roots, module.DIRECTIONS
    ways = {f"as it is, {count} directions": (fit_principal, count, roots) for count in (8, 16, most, 64)}
    ways |= {f"as it is, of {len(train) // step} photos": (fit_some, step, roots) for step in (3, 10, 40)}
    ways["length 1, without roots"] = fit_principal, most, length_one
    ways["features as they come"] = fit_principal, most, np.asarray
    ways |= {f"nearest, number {place}": (fit_nearest, place, roots) for place in (1, 5, 50)}
    print(f"\n{'strangeness, limit at 99 %':<28}" + "".join(f"{name:>19}" for name in list(sets)[:3]))
    rows = {}
    for name, (fit, *settings) in ways.items():
        held = np.empty(len(train), np.float32)
        for fold in range(5):
            mine = folds == fold
            held[mine] = fit(*settings, known[~mine], labels[~mine])(known[mine])
        measure_one = fit(*settings, known, labels)
        limit = module.find_limit(held)
        rows[name] = {kind: float((measure_one(matrix) > limit).mean()) for kind, matrix in sets.items()}
    module.DIRECTIONS, module._unit_roots = most, roots
    for name, energy in (("largest logit", lambda table: -table.max(axis=1)), ("energy", free_energy)):
        limit = np.quantile(energy(logits), 0.99)
        rows[name] = {kind: float((energy(head.logits(matrix)) > limit).mean()) for kind, matrix in sets.items()}
    drawn = [name for name in others if not name.startswith(("photo", "dog", "unseen"))]
    photos = [name for name in others if name.startswith("photo")]
    for name, row in rows.items():
        first = "".join(f"{share:>19.3f}" for share in list(row.values())[:3])
        means = [statistics.mean(row[kind] for kind in kinds) for kinds in (drawn, photos) if kinds]
        least = min(drawn, key=row.__getitem__)
        words = f"drawn and noise {means[0]:.3f} (least: {least} {row[least]:.3f})"
        print(f"{name:<28}{first}   {words}" + (f", other photos {means[1]:.3f}" if photos else ""))


def free_energy(logits):
    return -np.logaddexp.reduce(logits, axis=1)


def simulate(index, extractor, precision):
    """How often the threshold holds on new pictures, and what it accepts, when set on n pictures."""
    from telltale.data.splits import given_parts
    from telltale.evaluation.held_out import cross_fit
    from telltale.evaluation.selective import choose_threshold
    from telltale.model.features import features

    train = index.take(np.flatnonzero(given_parts(index) == 0))
    folds = np.random.default_rng(0).permutation(len(train)) % 5
    logits = cross_fit(features(train, extractor), train.codes, folds, penalty=0.03, classes=2).astype(float)
    margins, hit = np.abs(logits[:, 0] - logits[:, 1]), logits.argmax(axis=1) == train.codes
    bend = fit_line(margins, hit)
    rng = np.random.default_rng(1)

    def draw(count):
        chosen = rng.choice(margins, count) * np.exp(rng.normal(0, 0.1, count))
        chance = 1 / (1 + np.exp(-(bend[0] + bend[1] * chosen)))
        return chance, rng.random(count) < chance

    many, right = draw(1_000_000)
    order = np.argsort(-many)
    ordered, shares = many[order], np.cumsum(right[order]) / np.arange(1, len(many) + 1)
    most = (np.flatnonzero(shares >= precision)[-1] + 1) / len(many)
    print(f"\nthresholds for {precision} on drawn pictures, of which at best {most:.3f} can be accepted")
    rules = {"as chosen": choose_threshold, "largest set right so often": choose_plain, "corrected": choose_corrected}
    for count in (60, 200, 500, 2_000, 10_000):
        draws = [draw(count) for _ in range(200)]
        for name, choose in rules.items():
            found = []
            for confidence, hits in draws:
                threshold, assured = choose(confidence, hits, precision)
                taken = int(np.searchsorted(-ordered, -threshold, side="right"))
                found.append((shares[taken - 1] if taken else 1.0, taken / len(many), assured))
            holds, accepted, assured = np.array(found).T
            print(
                f"  {count:>6,} pictures, {name:<26}: holds in {(holds >= precision).mean():.2f} of draws, "
                f"{holds.mean():.4f} right, {accepted.mean():.3f} accepted, assured in {assured.mean():.2f}"
                + (f" (holds in {(holds[assured > 0] >= precision).mean():.2f} of these)" if assured.any() else "")
            )


def choose_plain(confidence, right, precision):
    """The largest set of the surest pictures of which the share `precision` is right."""
    order = np.argsort(-confidence)
    wrong = np.cumsum(~right[order])
    reached = np.flatnonzero(wrong <= (1 - precision) * np.arange(1, len(order) + 1))
    return (float(confidence[order][reached[-1]]) if len(reached) else 2.0), False


def choose_corrected(confidence, right, precision):
    """Geifman and El-Yaniv's search by halving, with the chance of error divided by its steps."""
    from scipy.stats import binom

    order = np.argsort(-confidence)
    wrong, low, high, found = np.cumsum(~right[order]), 0, len(order) - 1, -1
    chance = 0.05 / np.ceil(np.log2(len(order)))
    while low <= high:
        middle = (low + high) // 2
        if binom.cdf(wrong[middle], middle + 1, 1 - precision) <= chance:
            found, low = middle, middle + 1
        else:
            high = middle - 1
    return (float(confidence[order][found]), True) if found >= 0 else (2.0, False)


def fit_line(values, hit, steps=50):
    """Logistic regression of one number."""
    point = np.array([0.0, 1.0])
    table = np.stack([np.ones_like(values), values], axis=1)
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-table @ point))
        curve = (table * (chance * (1 - chance))[:, None]).T @ table + 1e-6 * np.eye(2)
        point = point + np.linalg.solve(curve, table.T @ (hit - chance))
    return point


def extract(extractor, pictures):
    squares = [extractor.preprocess.apply(np.ascontiguousarray(one)) for one in pictures]
    return np.concatenate([extractor.engine.run(squares[at : at + 16]) for at in range(0, len(squares), 16)])


def built_in(extractor):
    from telltale.data.index import scan
    from telltale.data.samples import draw_samples
    from telltale.model.features import features

    with tempfile.TemporaryDirectory() as folder:
        return features(scan(draw_samples(Path(folder) / "samples", count=200).folder).readable, extractor)


def other_photos():
    """A temple, a flower, a woman in uniform: the whole photo and squares cut from it."""
    found = {}
    try:
        import matplotlib
        from sklearn.datasets import load_sample_images
    except ImportError:
        return found
    found |= dict(zip(("a temple", "a flower"), load_sample_images().images, strict=True))
    with Image.open(Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg") as image:
        found["a person"] = np.asarray(image.convert("RGB"))
    rng = np.random.default_rng(5)
    return {name: [photo, *(cut(rng, photo) for _ in range(19))] for name, photo in found.items()}


def cut(rng, photo):
    side = int(rng.uniform(0.35, 0.8) * min(photo.shape[:2]))
    top, left = (int(rng.integers(0, length - side + 1)) for length in photo.shape[:2])
    return photo[top : top + side, left : left + side]


def strange_pictures():
    """`EACH` pictures of every kind in `KINDS`, uint8 `[height, width, 3]`."""
    return {
        name: [draw(np.random.default_rng([number, seed])) for seed in range(EACH)]
        for number, (name, draw) in enumerate(KINDS.items())
    }


def size(rng):
    return tuple(int(side) for side in rng.integers(180, 480, 2))


def colour(rng, low=0, high=256):
    return tuple(int(one) for one in rng.integers(low, high, 3))


def sheet(rng, ground):
    image = Image.new("RGB", size(rng), ground)
    return image, ImageDraw.Draw(image), image.size


def flat(rng):
    return np.asarray(sheet(rng, colour(rng))[0])


def gradient(rng):
    width, height = size(rng)
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.linspace(-0.5, 0.5, width)[None], np.linspace(-0.5, 0.5, height)[:, None]
    along = np.clip(x * np.cos(angle) + y * np.sin(angle) + 0.5, 0, 1)[..., None]
    start, end = rng.uniform(0, 255, (2, 3))
    return (start + (end - start) * along).astype(np.uint8)


def words(rng, count):
    return " ".join("".join(chr(97 + one) for one in rng.integers(0, 26, rng.integers(2, 10))) for _ in range(count))


def text(rng):
    image, pen, (_, height) = sheet(rng, "white" if rng.random() < 0.7 else colour(rng))
    points = int(rng.integers(10, 28))
    font, ink = ImageFont.load_default(points), colour(rng, 0, 90)
    for top in range(5, height, int(points * 1.4)):
        pen.text((8, top), words(rng, 30), fill=ink, font=font)
    return np.asarray(image)


def line_drawing(rng):
    image, pen, (width, height) = sheet(rng, "white")
    for _ in range(int(rng.integers(3, 25))):
        (left, right), (top, bottom) = np.sort(rng.uniform(0, width, 2)), np.sort(rng.uniform(0, height, 2))
        box, thick = (left, top, right, bottom), int(rng.integers(1, 6))
        kind = rng.integers(3)
        if kind == 0:
            pen.line((left, bottom, right, top) if rng.random() < 0.5 else box, fill="black", width=thick)
        elif kind == 1:
            pen.ellipse(box, outline="black", width=thick)
        else:
            pen.arc(box, *rng.uniform(0, 360, 2).tolist(), fill="black", width=thick)
    return np.asarray(image)


def checkerboard(rng):
    width, height = size(rng)
    side = int(rng.integers(5, 60))
    odd = (np.arange(height)[:, None] // side + np.arange(width)[None] // side) % 2
    return np.where(odd[..., None], colour(rng), colour(rng)).astype(np.uint8)


def street_map(rng):
    image, pen, shape = sheet(rng, colour(rng, 200, 250))
    for _ in range(int(rng.integers(3, 8))):
        middle, corners = rng.uniform(0, shape), int(rng.integers(5, 12))
        angle, reach = np.sort(rng.uniform(0, 2 * np.pi, corners)), rng.uniform(20, 120, corners)
        outline = middle + reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        pen.polygon([tuple(one) for one in outline], fill=colour(rng, 120, 230), outline=(120, 120, 120))
    for _ in range(int(rng.integers(4, 14))):
        road = np.cumsum([rng.uniform(0, shape), *rng.normal(0, 50, (6, 2))], axis=0)
        pen.line([tuple(one) for one in road], fill=colour(rng, 100, 255), width=int(rng.integers(1, 8)))
    for _ in range(6):
        pen.text(tuple(rng.uniform(0, shape)), words(rng, 1), fill="black", font=ImageFont.load_default(12))
    return np.asarray(image)


def chart(rng):
    image, pen, (width, height) = sheet(rng, "white")
    pen.line((30, 10, 30, height - 20, width - 10, height - 20), fill="black", width=2)
    if rng.random() < 0.5:
        wide, ink = (width - 50) / 8, colour(rng)
        for left in np.arange(8) * wide + 35:
            pen.rectangle((left, rng.uniform(20, height - 30), left + 0.7 * wide, height - 21), fill=ink)
    else:
        for _ in range(int(rng.integers(1, 4))):
            tops = np.clip(np.cumsum(rng.normal(0, height / 20, 40)) + height / 2, 10, height - 25)
            pen.line(list(zip(np.linspace(32, width - 13, 40), tops, strict=True)), fill=colour(rng), width=2)
    for number, top in enumerate(np.linspace(20, height - 40, 5)):
        pen.text((2, top), str(100 - 20 * number), fill="black", font=ImageFont.load_default(11))
    pen.text((width / 3, 2), "Results by month", fill="black", font=ImageFont.load_default(11))
    return np.asarray(image)


def shapes(rng):
    image, pen, shape = sheet(rng, colour(rng))
    for _ in range(int(rng.integers(1, 9))):
        (x, y), reach = rng.uniform(0, shape), rng.uniform(15, 90)
        if rng.random() < 0.5:
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour(rng))
        else:
            pen.regular_polygon((x, y, reach), int(rng.integers(3, 7)), int(rng.integers(360)), fill=colour(rng))
    return np.asarray(image)


def cartoon(rng):
    """An animal's face: ears, eyes, a nose and a mouth."""
    image, pen, (width, height) = sheet(rng, colour(rng))
    x, y, r, fur = width / 2, height / 2, 0.3 * min(width, height), colour(rng)
    for side in (-1, 1):
        ear = [(0.9, -0.4), (0.8, -1.4), (0.2, -0.8)]
        pen.polygon([(x + side * a * r, y + b * r) for a, b in ear], fill=fur, outline="black")
    pen.ellipse((x - r, y - r, x + r, y + r), fill=fur, outline="black", width=3)
    for side in (-1, 1):
        for reach, ink in ((0.15, "white"), (0.05, "black")):
            eye = x + side * 0.4 * r, y - 0.25 * r
            pen.ellipse([eye[0] - reach * r, eye[1] - reach * r, eye[0] + reach * r, eye[1] + reach * r], fill=ink)
        left = x + min(0, side) * 0.4 * r
        pen.arc((left, y + 0.1 * r, left + 0.4 * r, y + 0.6 * r), 0, 180, fill="black", width=2)
    pen.polygon([(x - 0.15 * r, y + 0.1 * r), (x + 0.15 * r, y + 0.1 * r), (x, y + 0.3 * r)], fill="black")
    return np.asarray(image)


def uniform(rng, channels=3):
    width, height = size(rng)
    return np.repeat(rng.integers(0, 256, (height, width, channels), np.uint8), 3 // channels, axis=2)


def gaussian(rng):
    width, height = size(rng)
    drawn = rng.normal(rng.uniform(80, 170), rng.uniform(15, 70), (height, width, 3))
    return np.clip(drawn, 0, 255).astype(np.uint8)


def smoothed(rng):
    blurred = Image.fromarray(uniform(rng)).filter(ImageFilter.GaussianBlur(rng.uniform(1, 12)))
    values = np.asarray(blurred, np.float32)
    values = (values - values.mean((0, 1))) / (values.std() + 1e-6) * rng.uniform(30, 60) + 128
    return np.clip(values, 0, 255).astype(np.uint8)


def clouds(rng):
    """Noise with the spectrum of photos: power falls with frequency."""
    width, height = size(rng)
    distance = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    distance[0, 0] = 1
    power, mixed = rng.uniform(0.8, 1.6), rng.uniform(0, 1)
    drawn = np.fft.fft2(rng.normal(size=(3, height, width))) / distance**power
    planes = np.moveaxis(np.fft.ifft2(drawn).real, 0, 2)
    planes = mixed * planes + (1 - mixed) * planes[:, :, :1]
    return np.clip(planes / planes.std() * 50 + 128, 0, 255).astype(np.uint8)


def jpeg_noise(rng):
    file = io.BytesIO()
    Image.fromarray(gaussian(rng)).save(file, "JPEG", quality=int(rng.integers(5, 60)))
    return np.asarray(Image.open(file).convert("RGB"))


def blocks(rng):
    side = int(rng.integers(4, 40))
    small = Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))
    return np.asarray(small.resize(size(rng), Image.Resampling.NEAREST))


KINDS = {
    "flat colour": flat,
    "gradient": gradient,
    "text": text,
    "line drawing": line_drawing,
    "checkerboard": checkerboard,
    "street map": street_map,
    "chart": chart,
    "shapes": shapes,
    "cartoon face": cartoon,
    "noise, uniform": uniform,
    "noise, gaussian": gaussian,
    "noise, grey": lambda rng: uniform(rng, channels=1),
    "noise, smoothed": smoothed,
    "noise, clouds": clouds,
    "noise, as JPEG": jpeg_noise,
    "noise, blocks": blocks,
}


if __name__ == "__main__":
    main()
