"""What a training begins with: a network from random weights, or from pretrained ones with the probe's head."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from telltale.batches.preprocess import Preprocess
from telltale.data.splits import Splits
from telltale.errors import RecipeError
from telltale.model.backbone import Architecture
from telltale.model.features import Extractor
from telltale.model.zoo import create_backbone, describe_network, pretrained_facts
from telltale.progress import Note, Tell
from telltale.training.probe import fit_probe
from telltale.training.recipe import Recipe

if TYPE_CHECKING:
    from telltale.model.network import Network

SCALES: Final = {"raw": (0.0, 1 / 255), "unit": (0.0, 1.0), "symmetric": (0.5, 0.5)}
"""Mean and standard deviation, on a scale of 0 to 1, that give the input that `Recipe.pixels` names."""


@dataclass(frozen=True)
class Start:
    """What a training begins with.

    `extractor` is the pretrained backbone, where there is one; `row` says how good the network is already, where that
    is known. `architecture` is that of the network without its head.
    """

    network: "Network"
    architecture: Architecture
    preprocess: Preprocess
    extractor: Extractor | None = None
    row: dict[str, float] | None = None


def check_output(recipe: Recipe, classes: int) -> None:
    """`RecipeError` where the output does not fit the number of classes."""
    if recipe.output == "sigmoid" and classes != 2:
        raise RecipeError(
            f"output is 'sigmoid', and there are {classes} classes.",
            expected="Two classes for one sigmoid output.",
            do="Use --set output=softmax.",
        )


def start_from_nothing(splits: Splits, recipe: Recipe) -> Start:
    """Random weights that follow from the seed."""
    from telltale.model.network import build_network
    from telltale.model.seeding import seeded

    architecture = describe_network(recipe.model, size=recipe.img_size, pool=recipe.pool)
    with seeded(recipe.seed):
        backbone = create_backbone(architecture)
        network = build_network(backbone, _outputs(splits, recipe), hidden=recipe.hidden, dropout=recipe.dropout)
    facts = pretrained_facts(recipe.model)
    mean, std = facts["mean"], facts["std"]
    if recipe.pixels != "auto":
        mean, std = ((value,) * 3 for value in SCALES[recipe.pixels])
    preprocess = Preprocess(architecture.size, recipe.resize, mean, std)
    return Start(network, _with_hidden(architecture, recipe), preprocess)


def start_from_probe(splits: Splits, recipe: Recipe, extractor: Extractor, tell: Tell) -> Start:
    """The pretrained backbone with the probe's head; with a new dense layer between them both are random.

    A dense layer that the backbone ends in already, of a bundle say, is a part of it.
    """
    import torch
    from safetensors.torch import load_file

    from telltale.model.network import build_network
    from telltale.model.seeding import seeded

    stored = extractor.backbone
    with seeded(recipe.seed):
        backbone = create_backbone(stored.architecture)
        network = build_network(backbone, _outputs(splits, recipe), hidden=recipe.hidden, dropout=recipe.dropout)
    backbone.load_state_dict(load_file(stored.folder / "backbone.safetensors"))
    architecture = _with_hidden(stored.architecture, recipe)
    if network.features is not backbone:
        return Start(network, architecture, extractor.preprocess, extractor)
    probe = fit_probe(splits, extractor, tell=tell)
    weight, bias = torch.from_numpy(probe.head.weight), torch.from_numpy(probe.head.bias)
    if recipe.output == "sigmoid":
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    with torch.no_grad():
        network.head.weight.copy_(weight)
        network.head.bias.copy_(bias)
    tell(Note(f"Head first: the probe's validation accuracy is {probe.losses['val_accuracy']:.3f}."))
    row = {"epoch": 0, **probe.losses, "lr": 0.0}
    return Start(network, architecture, probe.extractor.preprocess, probe.extractor, row)


def _outputs(splits: Splits, recipe: Recipe) -> int:
    return 1 if recipe.output == "sigmoid" else len(splits.index.classes)


def _with_hidden(architecture: Architecture, recipe: Recipe) -> Architecture:
    """How the features of the whole network, dense layer included, are built again."""
    if not recipe.hidden:
        return architecture
    return replace(architecture, options=tuple(sorted({**dict(architecture.options), "hidden": recipe.hidden}.items())))
