"""How fast the networks of `--quality` are here: their features, and learning with all their layers.

    python benchmarks/backbone_speed.py [--rounds 3] [--batch 8] [NAME ...]

Random weights of each network in `telltale.training.candidates`, at its input size, squares in memory. *Features*: the
engine that a probe uses, a stream on each core. *Learning*: forward, backward and a step of AdamW in torch on one
thread, channels last. Both in bf16 where the processor has it. Median of the rounds (least to greatest).

The figures are images per second of time that the processor spent on them, times the number of cores: what an idle
machine does, measured on one that is not. (At a load of 6 on two cores hgnetv2_b4 and convnext_tiny have 71 and 34, and
with the machine to themselves 75 and 35 per second of the clock.)
"""

import argparse
import os
import statistics
import tempfile
import time

import numpy as np

TURN = 0.5
"""Seconds of features in each turn."""


def main():
    from telltale.training.candidates import CANDIDATES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8, help="pictures in a step of learning")
    parser.add_argument("names", nargs="*", help="only networks whose name holds one of these")
    options = parser.parse_args()
    chosen = [one for one in CANDIDATES if not options.names or any(part in one.model for part in options.names)]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TELLTALE_CACHE"] = cache
        print(f"images/s: features; learning; n={options.rounds}", flush=True)
        for one in chosen:
            contestant = Contestant(one, options.batch)
            for number in range(options.rounds + 1):
                contestant.take_turn(counts=number > 0)  # the first round warms up
            print(contestant, flush=True)


class Contestant:
    """A network, loaded both ways, and its figures so far."""

    def __init__(self, candidate, batch):
        import torch

        from telltale.device import cores, keep_memory
        from telltale.model.backbone import Architecture
        from telltale.model.conversion import write_backbone
        from telltale.model.depthwise import hasten_depthwise
        from telltale.model.engine import best_precision, open_engine
        from telltale.model.network import build_network
        from telltale.model.zoo import create_backbone

        # Threads that wait for one another spend time, too.
        torch.set_num_threads(1)
        keep_memory()
        torch.manual_seed(0)
        self.candidate, self.threads = candidate, cores()
        architecture = Architecture(candidate.model, (), candidate.size)
        network = create_backbone(architecture)
        backbone = write_backbone(network, architecture, (0.5,) * 3, (0.5,) * 3)
        self.precision = best_precision(backbone, "cpu")
        self.engine = open_engine(backbone, precision=self.precision)
        self.squares = np.random.default_rng(0).integers(0, 256, (4, candidate.size, candidate.size, 3), dtype=np.uint8)
        self.network = build_network(network, 10).to(memory_format=torch.channels_last).train()
        hasten_depthwise(self.network)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-6, fused=True)
        self.inputs = torch.rand(batch, 3, candidate.size, candidate.size).to(memory_format=torch.channels_last)
        self.labels = torch.zeros(batch, dtype=torch.int64)
        self.features, self.learning = [], []

    def take_turn(self, *, counts):
        """Half a second of features, then one step."""
        rates = self.rate(self.run_engine), self.rate(self.run_step)
        if counts:
            for kept, rate in zip((self.features, self.learning), rates, strict=True):
                kept.append(rate)

    def rate(self, work):
        """Images per second of the processor's time, times the cores."""
        start = time.process_time()
        done = work()
        return self.threads * done / (time.process_time() - start)

    def run_engine(self):
        """Images that went through the engine."""
        from telltale.threads import map_in_order

        start = time.perf_counter()

        def work(_):
            done = 0
            while time.perf_counter() < start + TURN:
                done += len(self.engine.run(self.squares))
            return done

        return sum(map_in_order(work, range(self.threads), threads=self.threads))

    def run_step(self):
        """Images of one step."""
        import torch

        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            loss = torch.nn.functional.cross_entropy(self.network(self.inputs), self.labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return len(self.labels)

    def __str__(self):
        rates = self.features, self.learning
        texts = [f"{statistics.median(each):,.1f} ({min(each):,.1f}-{max(each):,.1f})" for each in rates]
        return f"{self.candidate.model} @{self.candidate.size} {self.precision}: {'; '.join(texts)}"


if __name__ == "__main__":
    main()
