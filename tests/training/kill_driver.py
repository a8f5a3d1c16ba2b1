"""Kills a process at each point of saving, sending, publishing and removing, and looks at what is left.

In a process of its own, which forks one for each attempt: `python -m tests.training.kill_driver TASK`. The task is a
JSON object with `url` (of the mirror), `folder` (a new one on this machine) and `points`: their names (one of each), or
"named" (one of each name), or "every". One JSON object a line comes out for each point.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.training.mirror_tools import RUN, Odd, begin, make_run, save

from telltale.files import verify_manifest
from telltale.progress import silent
from telltale.storage.places import open_place
from telltale.training.holding import list_holdings, restore
from telltale.training.mirror import Mirror
from telltale.training.store import Store

EPOCHS = 3
OTHER = "deadbeef"
SYSTEM = ("replace", "unlink", "rmdir", "mkdir", "link")
"""Calls of the system that change what is there."""


def train(folder: Path, url: str, tell: Callable[[str], None], point: Callable[[str], None]) -> None:
    """What a training does, from where `folder` is: save each epoch, and have it in the mirror before the next one."""
    run = make_run(folder) if not folder.is_dir() else None
    from telltale.training.run import Run

    run = run or Run(folder)

    class Place(Odd):
        def __getattr__(self, verb: str) -> Any:
            ask = super().__getattr__(verb)

            def asked(name: str = "", *rest: Any) -> Any:
                point(f"before {verb} {kind(name)}")
                answer = ask(name, *rest)
                point(f"after {verb} {kind(name)}")
                return answer

            return asked

    store = begin(run)
    store.keep = 1
    newest = store.newest(lambda text: None)
    mirror = Mirror(Place(open_place(url), lambda verb, name: None), run, keep=1)
    for epoch in range(newest.epoch + 1 if newest else 1, EPOCHS + 1):
        save(store, epoch, best=epoch == 2)
        tell(f"saved {epoch}")
        mirror.send()
        tell(f"sent {epoch}")
    mirror.send()


def kind(name: str) -> str:
    """The last part of a name, without what differs from run to run."""
    return Path(name).name.split("-")[0]


def attempt(number: int, folder: Path, url: str) -> dict[str, Any]:
    """Train in a new process that is killed at point `number` (0: never): the points passed, and what was done."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        passed = [0]

        def point(name: str) -> None:
            passed[0] += 1
            os.write(writing, f"at {name}\n".encode())
            if passed[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)

        def watch(name: str) -> None:
            real = getattr(os, name)

            def call(*arguments: Any, **options: Any) -> Any:
                point(f"{name} {kind(str(arguments[-1] if name in ('replace', 'link') else arguments[0]))}")
                return real(*arguments, **options)

            setattr(os, name, call)

        for name in SYSTEM:
            watch(name)
        code = 1
        try:
            train(folder, url, lambda text: os.write(writing, f"{text}\n".encode()) and None, point)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as lines:
        said = lines.read().splitlines()
    _, status = os.waitpid(child, 0)
    done = {
        word: max((int(line.split()[1]) for line in said if line.startswith(word)), default=0)
        for word in ("saved", "sent")
    }
    points = [line.removeprefix("at ") for line in said if line.startswith("at ")]
    return {"points": points, **done, "killed": os.WIFSIGNALED(status), "code": os.waitstatus_to_exitcode(status)}


def in_child(work: Callable[[], Any]) -> Any:
    """What `work` gives in a process of its own, as JSON: connections do not survive a fork."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            answer = json.dumps(work())
        except BaseException as error:
            answer = json.dumps({"error": f"{type(error).__name__}: {error}"})
        with os.fdopen(writing, "w") as file:
            file.write(answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    os.waitpid(child, 0)
    return json.loads(text)


def prepare(folder: Path, url: str) -> dict[str, str]:
    """Another run in the same mirror: what it holds of it."""
    other = make_run(folder / "other", OTHER)
    save(begin(other), 1)
    Mirror(open_place(url), other, keep=1).send()
    return holds(url, OTHER)


def holds(url: str, run: str) -> dict[str, str]:
    place = open_place(url)
    return {
        name: place.read(name, 0, stored.size).hex()
        for name, stored in place.list("").items()
        if name.split("/")[0].endswith(f"-{run}")
    }


def look(folder: Path, url: str, other: dict[str, str]) -> dict[str, Any]:
    """What is left after a kill: on an empty machine, on this one, and of the other run; then go on to the end."""
    place = open_place(url)
    mine = [one for one in list_holdings(place) if one.id == RUN]
    found: dict[str, Any] = {"elsewhere": 0, "started": bool(mine and mine[0].starts)}
    if mine and (mine[0].starts or mine[0].epochs):
        back = restore(mine[0], folder / "empty", silent)
        newest = Store(back.weights, RUN).newest(lambda text: None)
        found["elsewhere"] = newest.epoch if newest else 0
    weights = folder / "run" / "weights"
    newest = Store(weights, RUN).newest(lambda text: None) if weights.is_dir() else None
    found["here"] = newest.epoch if newest else 0
    if (folder / "run" / "run.json").is_file():
        train(folder / "run", url, lambda text: None, lambda name: None)
        (end,) = [one for one in list_holdings(place) if one.id == RUN]
        whole = restore(end, folder / "end", silent)
        found["end"] = Store(whole.weights, RUN).newest(print).epoch
        parcels = {name.rpartition("/")[0] for name in end.names if "/epoch-" in name}
        found["half"] = sorted(name for name in parcels if f"{name}/manifest.json" not in end.names)
        found["kept"] = sorted(mark.epoch for mark in end.marks[""])
        for path in (folder / "run" / "weights").glob("epoch-*"):
            verify_manifest(path)
    found["other"] = holds(url, OTHER) == other
    return found


def main() -> None:
    """Every point of the task."""
    task = json.loads(sys.argv[1])
    folder, url = Path(task["folder"]), task["url"]
    for module in task.get("imports", ()):
        __import__(module)
    points = attempt(0, folder / "dry" / "run", f"{url}/dry")
    if points["code"]:
        raise SystemExit("the training fails without being killed")
    names, numbers, seen = points["points"], [], set()
    for number, name in enumerate(names, start=1):
        # The second epoch and later: there is something to lose.
        wanted = task["points"] == "named" or name in task["points"]
        if task["points"] == "every" or (wanted and number > len(names) // 3 and name not in seen):
            seen.add(name)
            numbers.append(number)
    for number in numbers:
        place, there = folder / str(number), f"{url}/{number}"
        place.mkdir(parents=True)
        other = in_child(lambda place=place, there=there: prepare(place, there))
        found = attempt(number, place / "run", there)
        left = in_child(lambda place=place, there=there, other=other: look(place, there, other))
        del found["points"]
        print(json.dumps({"point": names[number - 1], "number": number, **found, **left}), flush=True)


if __name__ == "__main__":
    main()
