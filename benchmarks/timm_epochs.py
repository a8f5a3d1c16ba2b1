"""Epochs of training with timm's own loader and the settings of its `train.py`: prints the seconds of each as JSON.

The peer of `benchmarks/epoch_speed.py`, in Telltale's environment, on a folder `train/{cats,dogs}/*.jpg`:

    python timm_epochs.py FOLDER EPOCHS

As `train.py --model mobilenetv2_100 --img-size 160 -b 32 -j 2` does it on a CPU: Pillow in two worker processes,
random resized crops, flips and colour jitter, float32 in NCHW, eager, SGD with momentum 0.9.
"""

import json
import sys
import time

import timm.optim
import torch
from timm.data import create_dataset, create_loader

SIZE = 160


def main(folder, epochs):
    torch.manual_seed(0)
    dataset = create_dataset("folder", root=f"{folder}/train")
    loader = create_loader(
        dataset, (3, SIZE, SIZE), 32, is_training=True, use_prefetcher=False, num_workers=2, color_jitter=0.4,
        interpolation="random", re_prob=0.0, hflip=0.5, device=torch.device("cpu"), persistent_workers=True,
    )  # fmt: skip
    network = timm.create_model("mobilenetv2_100", num_classes=2)
    optimizer = timm.optim.create_optimizer_v2(network, "sgd", lr=0.05, momentum=0.9, weight_decay=2e-5)
    loss_of = torch.nn.CrossEntropyLoss()
    network.train()
    seconds = []
    for _ in range(epochs):
        start, seen = time.perf_counter(), 0
        for pictures, labels in loader:
            loss = loss_of(network(pictures), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(labels)
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "pictures": seen, "timm": timm.__version__}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
