"""Fine-tuning and training from scratch: network, pictures and loop, and the backbone and head that they leave."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from telltale.data.splits import Splits
from telltale.device import choose_device, keep_memory
from telltale.errors import BundleError
from telltale.model.engine import has_bf16
from telltale.model.features import Extractor
from telltale.model.head import Head
from telltale.progress import Note, Tell
from telltale.training.recipe import Recipe, read_time
from telltale.training.run import Run
from telltale.training.start import Start, check_output, start_from_nothing, start_from_probe
from telltale.training.store import STATE, Store

if TYPE_CHECKING:
    import torch

    from telltale.batches.feed import Feed
    from telltale.model.network import Network
    from telltale.training.loop import Lesson
    from telltale.training.state import State


def fit_network(
    splits: Splits, recipe: Recipe, run: Run, *, device: str, extractor: Extractor | None, tell: Tell
) -> tuple[Extractor, Head, dict[str, Any]]:
    """Train the network of `recipe`: the extractor and head of its best epoch, and facts for the record.

    Writes a checkpoint and a row of results.csv after every epoch. Where `run` holds a checkpoint,
    the training goes on from there. `extractor` is the pretrained backbone of a fine-tuning. Raises `RecipeError`
    where the loss becomes no number before there is anything to keep, and `Interrupted` after Ctrl-C or SIGTERM.
    """
    from telltale.model.conversion import write_backbone
    from telltale.training.listener import listen

    start, state, lesson = prepare(splits, recipe, device=device, extractor=extractor, tell=tell)
    # With the batch size that was found: on another day there may be less memory, and the training would be another.
    lesson.recipe.save(run.folder / "recipe.toml")
    settings = (run.folder / "recipe.toml").read_bytes()
    store = Store(run.weights, run.id, keep=recipe.keep, extras={"recipe.toml": settings})
    _resume(state, store, run, tell)
    lesson = replace(lesson, precision=state.precision)
    if recipe.time:
        lesson = replace(lesson, until=run.started + read_time(recipe.time) - state.seconds)
    found = listen(state, lesson, store, run=run, paths=splits.train.paths, tell=tell)
    preprocess = start.preprocess
    stored = write_backbone(start.network.features, start.architecture, preprocess.mean, preprocess.std)
    return Extractor(stored, preprocess, "f32", choose_device(device)), _take_head(start.network), found


def prepare(
    splits: Splits, recipe: Recipe, *, device: str, extractor: Extractor | None, tell: Tell
) -> tuple[Start, "State", "Lesson"]:
    """What the training of `recipe` begins with: its network on the device, the optimizer, pictures and loss.

    `extractor` is the pretrained backbone of a fine-tuning. The recipe of the lesson has the batch size that was found
    where `recipe` leaves it open.
    """
    import torch

    from telltale.model.depthwise import hasten_depthwise
    from telltale.training.loop import Lesson
    from telltale.training.loss import Loss, class_weights

    device = choose_device(device)
    keep_memory()
    check_output(recipe, len(splits.index.classes))
    start = start_from_probe(splits, recipe, extractor, tell) if extractor else start_from_nothing(splits, recipe)
    # Kernels with channels last, as the pixels come: 0.8 of the time of a step (plain CNN, 64 pixels, 2 cores).
    start.network.to(device).to(memory_format=torch.channels_last)
    hasten_depthwise(start.network)
    state = _open_state(start, recipe)
    state.precision = _choose_precision(recipe, device)
    if not recipe.batch_size:
        recipe = replace(recipe, batch_size=_find_batch_size(splits, start, tell))
    forward, training, validation = _open_feeds(splits, recipe, start, device=device, tell=tell)
    weights = None
    if recipe.balance == "weights":
        labels = splits.train.codes.astype(np.int64)
        weights = torch.from_numpy(class_weights(labels, len(splits.index.classes))).to(device)
    loss = Loss(smoothing=recipe.label_smoothing, weights=weights)
    if recipe.compile:
        forward.compile()
    return start, state, Lesson(forward, training, validation, loss, recipe, state.precision)


def _open_state(start: Start, recipe: Recipe) -> "State":
    """The network before its first step, with its optimizer; what is to be frozen is."""
    import torch

    from telltale.model.cutting import depth_groups, freeze
    from telltale.training.average import Average
    from telltale.training.optimizer import build_optimizer
    from telltale.training.state import State

    network = start.network
    frozen = freeze(network, recipe.freeze)
    if recipe.how == "finetune":
        if recipe.fix_norms:
            frozen += tuple(one for one in network.features.modules() if isinstance(one, torch.nn.BatchNorm2d))
        groups = [*depth_groups(network.features), list(network.head.named_parameters())]
    else:
        groups = [list(network.named_parameters())]
    average = Average(network, recipe.ema) if recipe.ema else None
    state = State(network, build_optimizer(groups, recipe), average, frozen)
    if start.row is not None:
        state.keep_best(start.row)
        state.rows = [start.row]
    return state


def _choose_precision(recipe: Recipe, device: str) -> str:
    """`f32` or `bf16`: what the recipe asks for, or what the device is fast with."""
    if recipe.arithmetic != "auto":
        return recipe.arithmetic
    if device == "cpu":
        return "bf16" if has_bf16() else "f32"
    import torch

    # Not where it is emulated: before Ampere (Colab's T4) bf16 is slower than f32.
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "f32"


def _open_feeds(
    splits: Splits, recipe: Recipe, start: Start, *, device: str, tell: Tell
) -> tuple["torch.nn.Module", "Feed", "Feed"]:
    """What runs in each step, and its training and validation pictures: the whole network, or what is not frozen."""
    from telltale.batches.augmentation import parse_augmentation
    from telltale.batches.feed import PictureFeed
    from telltale.training.frozen import keep_frozen

    augmentation = parse_augmentation(recipe.augment)
    training = PictureFeed(
        splits.train,
        start.preprocess,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        augmentation=augmentation if augmentation.terms else None,
        device=device,
        balanced=recipe.balance == "sampling",
    )
    validation = PictureFeed(splits.validation, start.preprocess, batch_size=recipe.batch_size, device=device)
    if recipe.freeze:
        kept = keep_frozen(start, splits, training, validation=validation, recipe=recipe, tell=tell)
        if kept is not None:
            return kept
    return start.network, training, validation


def _find_batch_size(splits: Splits, start: Start, tell: Tell) -> int:
    from telltale.training.capacity import find_batch_size

    found = find_batch_size(start.network, start.preprocess.size, len(splits.train))
    tell(Note(f"Batch size {found.size}: {found.why}."))
    return found.size


def _resume(state: "State", store: Store, run: Run, tell: Tell) -> None:
    """Go on where the run was left; the table of a new one begins with the row of its probe, where it has one."""
    from telltale.training.checkpoint import read_checkpoint

    mark = store.newest(lambda text: tell(Note(text, warning=True)))
    if mark is not None:
        state.load(read_checkpoint(store.path(mark) / STATE))
        tell(Note(f"The training goes on after {state.place}."))
    elif any(row["epoch"] for row in run.history):
        raise BundleError(
            f"{str(store.folder)!r} holds no checkpoint, and epochs were done in this run.",
            expected="The checkpoints of the training beside its results.csv.",
            do="Copy them back, with telltale train --resume MIRROR where it has one, or start a new training.",
        )
    run.rewrite(state.rows)


def _take_head(network: "Network") -> Head:
    """The last layer as a linear head; one sigmoid output for two classes becomes two rows, the first of them zero."""
    weight, bias = (one.detach().cpu().float().numpy() for one in (network.head.weight, network.head.bias))
    if len(weight) == 1:
        weight, bias = np.concatenate([np.zeros_like(weight), weight]), np.concatenate([np.zeros_like(bias), bias])
    return Head(np.array(weight), np.array(bias))
