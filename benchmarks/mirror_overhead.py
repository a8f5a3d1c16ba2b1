"""Seconds of training with a mirror behind a line that fails, and without, in turn: their ratio, and what arrived.

    python benchmarks/mirror_overhead.py DATA [--rounds 3] [--epochs 6] [--recipe cats-dogs-cnn]

The mirror is a real S3 server (moto) on this machine, behind the proxy of the tests. Of its requests one in 24 is
answered 503, one is reset, one stalls for 10 s, one answer is cut short; and for a quarter of the training nothing
answers. Server and proxy run with the lowest priority, since elsewhere they would run on another machine. Every
training is a process of its own. Counted are the seconds of the epochs (steps, validation, checkpoint), and those of
the whole process without its wait for the mirror at the end.
"""

import argparse
import json
import os
import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SERVER = """
import os, sys, threading, time
os.nice(19)
sys.path.insert(0, sys.argv[1])
from moto.server import ThreadedMotoServer
from tests.storage.fault_proxy import Fault, FaultProxy
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
import boto3
os.environ.update(AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret", AWS_DEFAULT_REGION="us-east-1")
host, port = server.get_host_and_port()
boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="bench")
kinds = {3: Fault("answer", 503), 5: Fault("reset-request"), 7: Fault("stall", seconds=10.0), 11: Fault("truncate")}
with FaultProxy((host, port)) as proxy:
    print(proxy.url, flush=True)
    for line in sys.stdin:
        word = line.strip()
        if word == "faults":
            proxy.rule = lambda request: kinds.get(request.number % 24)
        elif word == "away":
            proxy.go_away()
        elif word == "back":
            proxy.come_back()
        elif word == "count":
            print(len(proxy.seen), sum(proxy.sizes), flush=True)
            proxy.clear()
"""


def main() -> None:
    """All rounds, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--recipe", default="cats-dogs-cnn")
    given = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-W", "ignore", "-c", SERVER, str(root)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        url = server.stdout.readline().strip()
        environment = os.environ | {
            "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip
        train(given, folder, environment, [])  # the pictures are decoded once
        found = {"alone": [], "mirrored": []}
        for number in range(given.rounds):
            order = ("alone", "mirrored") if number % 2 == 0 else ("mirrored", "alone")
            for name in order:
                mirrors = [f"s3://bench/{secrets.token_hex(4)}"] if name == "mirrored" else []
                found[name].append(measure(given, folder, environment, mirrors, server))
                print(json.dumps({name: found[name][-1]}), flush=True)
        server.stdin.close()
        server.terminate()
    report(found)


def measure(given, folder, environment, mirrors, server) -> dict[str, object]:
    """One training; with a mirror the line fails from the first epoch on, and is away for a quarter of them."""
    say = lambda word: print(word, file=server.stdin, flush=True)  # noqa: E731
    if not mirrors:
        return train(given, folder, environment, mirrors)
    away = threading.Event()

    def hear(line: str) -> None:
        epoch = re.match(r"epoch (\d+) of", line)
        if line.startswith("Training on"):
            say("faults")
        if epoch and int(epoch[1]) == given.epochs // 4 + 1:
            say("away")
            away.set()
        if epoch and int(epoch[1]) == given.epochs // 4 + 1 + max(1, given.epochs // 4) and away.is_set():
            say("back")
            away.clear()

    done = train(given, folder, environment, mirrors, hear)
    say("count")
    requests, size = map(int, server.stdout.readline().split())
    return done | {"requests": requests, "MB sent": round(size / 1e6, 1)}


def train(given, folder, environment, mirrors, hear=lambda line: None) -> dict[str, object]:
    """Seconds of the epochs and of the process, and how the mirrors stand at the end."""
    output = Path(folder) / secrets.token_hex(4)
    command = [sys.executable, "-m", "telltale", "train", str(given.data), "--recipe", given.recipe]
    command += ["--epochs", str(given.epochs), "--patience", "0", "--output", str(output), "--json"]
    command += [word for mirror in mirrors for word in ("--mirror", mirror)]
    start, epochs, last = time.perf_counter(), [], 0.0
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as child:
        for line in child.stderr:
            hear(line)
            found = re.match(r"epoch \d+ of .*\((\d+\.\d) s\)", line)
            if found:
                epochs.append(float(found[1]))
                last = time.perf_counter()
        answer = json.loads(child.stdout.read())
    arrived = all(one["result"] and not one["missing"] and not one["error"] for one in answer["mirrors"])
    return {
        "epochs": round(sum(epochs), 2),
        "to the last epoch": round(last - start, 2),
        "whole": round(time.perf_counter() - start, 2),
        "arrived": arrived,
        "code": child.returncode,
    }


def report(found: dict[str, list[dict[str, object]]]) -> None:
    """Medians and the ratio of each pair."""
    for what in ("epochs", "to the last epoch", "whole"):
        one, other = ([run[what] for run in found[name]] for name in ("alone", "mirrored"))
        ratios = [mine / theirs for mine, theirs in zip(other, one, strict=True)]
        medians = statistics.median(one), statistics.median(other)
        print(
            f"{what}: alone {medians[0]:.1f} s, mirrored {medians[1]:.1f} s; ratio of medians "
            f"{medians[1] / medians[0]:.3f}, of pairs {min(ratios):.3f} to {max(ratios):.3f}"
        )
    print("everything arrived:", all(run["arrived"] and run["code"] == 0 for run in found["mirrored"]))


if __name__ == "__main__":
    main()
