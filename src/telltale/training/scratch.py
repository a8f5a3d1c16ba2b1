"""Training from random weights: the loop, and what it leaves behind as a backbone and a head."""

from dataclasses import asdict
from typing import Any

import numpy as np

from telltale.data.splits import Splits
from telltale.device import choose_device
from telltale.model.features import Extractor
from telltale.model.head import Head
from telltale.progress import Advance, Note, Tell
from telltale.training.recipe import Recipe
from telltale.training.run import Run


def fit_scratch(
    splits: Splits, recipe: Recipe, run: Run, *, device: str, tell: Tell
) -> tuple[Extractor, Head, dict[str, Any]]:
    """Train the network of `recipe` from nothing: the extractor and head of its best epoch, and facts for the record.

    Writes `weights/last` and `weights/best` and a row of results.csv after every epoch.
    """
    from telltale.batches.loader import PictureBatches
    from telltale.batches.preprocess import Preprocess
    from telltale.model.conversion import write_backbone
    from telltale.model.seeding import seeded
    from telltale.model.zoo import create_backbone, create_network, pretrained_facts, take_head
    from telltale.training.checkpoint import Checkpoints
    from telltale.training.events import EpochDone, TrainingStopped
    from telltale.training.loop import plan_from, train_epochs

    device = choose_device(device)
    with seeded(recipe.seed):
        network, architecture = create_network(recipe.model, len(splits.index.classes), recipe.img_size)
    network.to(device)
    facts = pretrained_facts(recipe.model)
    preprocess = Preprocess(architecture.size, recipe.resize, facts["mean"], facts["std"])
    batches = {
        name: PictureBatches(part, preprocess, batch_size=recipe.batch_size, seed=recipe.seed, flip=recipe.flip)
        for name, part in (("train", splits.train), ("validation", splits.validation))
    }
    found: dict[str, Any] = {}
    events = train_epochs(
        network,
        batches["train"],
        validation=batches["validation"],
        plan=plan_from(recipe),
        checkpoints=Checkpoints(run.weights),
    )
    for event in events:
        if isinstance(event, EpochDone):
            run.record(asdict(event))
            detail = f"validation loss {event.val_loss:.3f}, accuracy {event.val_accuracy:.3f}"
            tell(Advance("train", event.epoch, recipe.epochs, unit="epochs", detail=detail))
        elif isinstance(event, TrainingStopped):
            found = {"epochs": event.epochs, "best_epoch": event.best_epoch, "stopped": event.reason}
            tell(Note(f"Stopped after {event.epochs} epochs ({event.reason}); the best was epoch {event.best_epoch}."))
    last = take_head(network, recipe.model)
    weight, bias = last.weight.detach().cpu().float().numpy(), last.bias.detach().cpu().float().numpy()
    backbone = create_backbone(architecture)
    wanted = backbone.state_dict()
    backbone.load_state_dict({name: value for name, value in network.state_dict().items() if name in wanted})
    stored = write_backbone(backbone, architecture, preprocess.mean, preprocess.std)
    return Extractor(stored, preprocess, "f32", device), Head(np.array(weight), np.array(bias)), found
