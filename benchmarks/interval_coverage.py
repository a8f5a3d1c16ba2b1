"""How many of 100 intervals of 95 % hold the truth: every figure that `score` gives, in settings that occur.

Run: python benchmarks/interval_coverage.py --repetitions 2000

Each repetition draws pictures from a known world, scores them and looks whether the truth lies in each interval. Right
and wrong answers are drawn by class, mistakes go half to the class that comes next and half anywhere. Probabilities are
those of a calibrated classifier: the true class's log odds against the other are normal with a variance of twice their
mean, and `sharp` multiplies them, as networks do that are too sure. In clusters, of uneven sizes, the chance of being
right is drawn from a beta distribution with the correlation that is named; a cluster has pictures of one class ("pure":
a patient with one finding) or of all, and confuses them alike.
"""

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telltale.evaluation.evaluation import Evaluation, score

FIGURES = ("accuracy", "recall", "precision", "F1", "balanced", "macro F1", "log loss")
POOL = 400_000


@dataclass(frozen=True)
class World:
    """What is drawn: `images` pictures of `classes` classes, `right` of them called what they are.

    `spread`: how much mistakes differ between classes, from 1 - spread to 1 + spread times the average. `skew`: the
    classes' shares are 1 / rank ** skew. With `clusters`, their sizes vary by `uneven` (standard deviation by mean).
    """

    images: int
    classes: int
    right: float
    skew: float = 0.0
    spread: float = 0.5
    sharp: float = 1.0
    clusters: int = 0
    correlation: float = 0.0
    uneven: float = 0.7
    pure: bool = True

    def __str__(self) -> str:
        words = [f"{self.images:,} pictures, {self.classes} classes, {self.right:.0%} right"]
        words += ["classes of uneven size"] if self.skew else []
        words += ["too sure"] if self.sharp > 1 else []
        if self.clusters:
            kind = "each of one class" if self.pure else "of all classes"
            words.append(f"{self.clusters} clusters {kind}, correlation {self.correlation:g}")
        return "; ".join(words)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of each class."""
        shares = 1 / np.arange(1, self.classes + 1) ** self.skew
        return shares / shares.sum()

    @property
    def mistaken(self) -> NDArray[np.float64]:
        """Share of each class's pictures that are called something else."""
        wrong = 1 + self.spread * np.linspace(-1, 1, self.classes)
        return wrong * (1 - self.right) / (wrong @ self.shares)

    def odds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log odds of the true class against the other, of many right and of many wrong answers."""
        from scipy.stats import norm

        distance = 2 * norm.ppf(self.right)
        drawn = distance**2 / 2 + distance * np.random.default_rng(5).standard_normal(POOL)
        return self.sharp * drawn[drawn > 0], self.sharp * drawn[drawn <= 0]

    def truth(self, odds: tuple[NDArray[np.float64], NDArray[np.float64]]) -> dict[str, Any]:
        """The value of every figure among all pictures of this world."""
        moved = np.full((self.classes, self.classes), 0.5 / (self.classes - 1))
        np.fill_diagonal(moved, 0)
        moved[np.arange(self.classes), (np.arange(self.classes) + 1) % self.classes] += 0.5
        cells = self.shares[:, None] * (np.diag(1 - self.mistaken) + self.mistaken[:, None] * moved)
        hits, support, said = np.diag(cells), cells.sum(axis=1), cells.sum(axis=0)
        losses = [float(np.log1p(np.exp(-one)).mean()) for one in odds]
        return {
            "accuracy": self.right,
            "recall": hits / support,
            "precision": hits / said,
            "F1": 2 * hits / (support + said),
            "balanced": float((hits / support).mean()),
            "macro F1": float((2 * hits / (support + said)).mean()),
            "log loss": self.right * losses[0] + (1 - self.right) * losses[1],
        }

    def draw(self, generator: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any], Any]:
        """Labels, whether they are found, and clusters or None."""
        if not self.clusters:
            labels = generator.choice(self.classes, self.images, p=self.shares)
            return labels, generator.random(self.images) >= self.mistaken[labels], None
        weights = generator.gamma(1 / self.uneven**2, size=self.clusters) + 1e-9
        sizes = 1 + generator.multinomial(self.images - self.clusters, weights / weights.sum())
        clusters = np.repeat(np.arange(self.clusters), sizes)
        strength = 1 / max(self.correlation, 1e-6) - 1
        if self.pure:
            own = generator.choice(self.classes, self.clusters, p=self.shares)
            labels, wrong = own[clusters], self.mistaken[own]
        else:
            labels, wrong = generator.choice(self.classes, self.images, p=self.shares), 1 - self.right
        failing = generator.beta(wrong * strength, (1 - wrong) * strength, size=self.clusters)[clusters]
        if not self.pure:
            failing = failing * self.mistaken[labels] / (1 - self.right)
        return labels, generator.random(self.images) >= failing, clusters


def evaluate(world: World, generator: np.random.Generator, odds: tuple[NDArray[Any], NDArray[Any]]) -> Evaluation:
    """One drawn set of pictures, scored."""
    labels, right, clusters = world.draw(generator)
    far = generator.random(len(labels) if clusters is None else world.clusters) < 0.5
    far = far if clusters is None else far[clusters]
    step = np.where(far & (world.classes > 1), generator.integers(1, world.classes, len(labels)), 1)
    other = (labels + step) % world.classes
    log_odds = np.where(right, generator.choice(odds[0], len(labels)), generator.choice(odds[1], len(labels)))
    own = 1 / (1 + np.exp(-log_odds))
    probabilities = np.zeros((len(labels), world.classes))
    probabilities[np.arange(len(labels)), other] = 1 - own
    probabilities[np.arange(len(labels)), labels] = own
    return score(labels, probabilities, [str(number) for number in range(world.classes)], clusters=clusters)


def measure(world: World, repetitions: int, seed: int = 0) -> dict[str, float]:
    """Share of the intervals of each figure that hold the truth; of those of classes, over all classes."""
    generator, odds = np.random.default_rng(seed), world.odds()
    truth = world.truth(odds)
    held: dict[str, list[Any]] = {name: [] for name in FIGURES}
    for _ in range(repetitions):
        found = evaluate(world, generator, odds)
        figures = {
            "accuracy": [found.metrics["accuracy"]],
            "recall": [one.recall for one in found.per_class],
            "precision": [one.precision for one in found.per_class],
            "F1": [one.f1 for one in found.per_class],
            "balanced": [found.metrics["balanced_accuracy"]],
            "macro F1": [found.metrics["macro_f1"]],
            "log loss": [found.metrics["log_loss"]],
        }
        for name, intervals in figures.items():
            pairs = zip(intervals, np.atleast_1d(truth[name]), strict=True)
            held[name].append([one.low <= true <= one.high for one, true in pairs])
    return {name: float(np.mean(one)) for name, one in held.items()}


ALONE = [
    World(250, 2, 0.8),
    World(250, 2, 0.9),
    World(250, 2, 0.97),
    World(250, 5, 0.8),
    World(250, 10, 0.6),
    World(250, 10, 0.95),
    World(500, 2, 0.97, sharp=2),
    World(500, 10, 0.9),
    World(500, 10, 0.95, skew=0.8),
    World(1000, 5, 0.97, skew=0.8),
    World(1000, 3, 0.7, skew=1.5),
    World(2000, 10, 0.97),
    World(2000, 120, 0.8),
]

CLUSTERED = [
    World(250, 2, 0.8, clusters=25, correlation=0.2),
    World(250, 2, 0.9, clusters=25, correlation=0.1, pure=False, spread=0),
    World(250, 2, 0.97, clusters=50, correlation=0.2),
    World(250, 5, 0.9, clusters=200, correlation=0.5),
    World(500, 5, 0.8, clusters=50, correlation=0.2),
    World(500, 5, 0.9, clusters=50, correlation=0.1, pure=False, spread=0),
    World(1000, 10, 0.6, clusters=100, correlation=0.2),
    World(1000, 10, 0.9, clusters=100, correlation=0.2),
    World(1000, 3, 0.9, clusters=100, correlation=0.3, uneven=1.0, sharp=2),
    World(2000, 3, 0.9, clusters=25, correlation=0.1, pure=False, spread=0),
    World(2000, 5, 0.97, clusters=200, correlation=0.2),
    World(2000, 10, 0.9, clusters=200, correlation=0.2, pure=False, spread=0),
]


def main() -> None:
    """Print a line for each world."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000)
    repetitions = parser.parse_args().repetitions
    error = 100 * (0.95 * 0.05 / repetitions) ** 0.5
    print(f"{repetitions:,} repetitions; standard error {error:.1f} points. In %:\n")
    print("| setting | " + " | ".join(FIGURES) + " |\n|---|" + "---|" * len(FIGURES))
    start = time.perf_counter()
    for world in ALONE + CLUSTERED:
        found = measure(world, repetitions)
        print(f"| {world} | " + " | ".join(f"{100 * found[name]:.1f}" for name in FIGURES) + " |", flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
