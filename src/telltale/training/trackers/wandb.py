"""Weights & Biases: one run, online, or offline in the run folder where nobody is logged in."""

import io
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

from PIL import Image

from telltale.training.about import About
from telltale.training.events import EpochDone, Event
from telltale.training.trackers.offline import read_epochs
from telltale.training.trackers.tracker import Outcome, Rows, find_fault, row_of, scalars_of

if TYPE_CHECKING:
    import wandb

PROJECT: Final = "telltale"
"""Where WANDB_PROJECT says no other."""

FOLDER: Final = "wandb"
"""Below the run folder; the name is W&B's."""

ENDS: Final = {"finished": 0, "stopped": 255, "failed": 1}
"""Exit codes; 255 is that of Ctrl-C in W&B."""

START_SECONDS: Final = 30.0
"""How long the server may take to answer; the end of the process waits for it, too."""

FINISH_SECONDS: Final = 25.0
"""How long the end of a session, and of the process, waits for uploads; what is missing lies in the run folder."""


class WandB:
    """Settings, a point of each curve per epoch, test figures and pictures as one W&B run, also when it goes on.

    Without a login, or with WANDB_MODE=offline, each session lies in a folder of `RUN/wandb` that `wandb sync` uploads.
    Nobody is ever asked for a key.
    """

    package: ClassVar[str] = "wandb"

    def __init__(self) -> None:
        self._run: wandb.Run | None = None
        self._known = set[int]()
        """Epochs that are logged."""
        self._exit_code = ENDS["failed"]

    def check(self) -> str:
        """What is missing is missing for the upload alone, and is said where the session begins."""
        return ""

    def begin(self, about: About, rows: Rows) -> str:
        """Begin the run, or go on with it, and log the epochs that it does not know yet."""
        import wandb

        why = _find_lack(wandb)
        run = _init(about, offline=bool(why))
        self._run = run
        folder = about.folder / FOLDER
        self._known = read_epochs(folder, about.id) if run.offline else set(range(run.step if run.resumed else 0))
        for row in rows:
            self._log(row)
        if run.disabled:
            return "WANDB_MODE is disabled, so nothing is written"
        if not run.offline:
            return f"{run.url}"
        return f"{why}written offline; to upload it: wandb sync {folder}/offline-run-*"

    def hear(self, event: Event) -> None:
        """A point of each curve."""
        if isinstance(event, EpochDone):
            self._log(row_of(event))

    def finish(self, outcome: Outcome) -> None:
        """The test's figures in the summary, its pictures, and how it ended."""
        import wandb

        self._exit_code = ENDS[outcome.end]
        if self._run is None:
            return
        self._run.summary.update(outcome.figures)
        pictures = {name: wandb.Image(Image.open(io.BytesIO(png))) for name, png in outcome.pictures.items()}
        if pictures:
            self._run.log(pictures)

    def close(self) -> None:
        """Upload what is left, and end the session."""
        if self._run is not None:
            self._run.finish(exit_code=self._exit_code)
            self._run = None

    def _log(self, row: Mapping[str, float]) -> None:
        epoch = int(row["epoch"])
        if self._run is not None and epoch not in self._known:
            self._known.add(epoch)
            self._run.log({"epoch": epoch, **scalars_of(row)}, step=epoch)


def _init(about: About, *, offline: bool) -> "wandb.Run":
    """Begin the run, or go on with it."""
    import wandb

    return wandb.init(
        project=os.environ.get("WANDB_PROJECT") or PROJECT,
        id=about.id,
        resume="allow",
        name=os.environ.get("WANDB_NAME") or about.name,
        config={**about.settings, "telltale": about.facts()},
        dir=str(about.folder),
        mode="offline" if offline else None,
        allow_val_change=True,
        # Beside whatever the user does with W&B in the same process.
        reinit="create_new",
        settings=_settings(wandb),
    )


def _settings(wandb: Any) -> dict[str, Any]:
    """No capture of the console, no lines between ours, and nothing that waits for ever, also as the process ends.

    Ctrl-C stays ours: W&B begins its service in a session of its own and sets no signal handler.
    """
    wanted: dict[str, Any] = {"console": "off", "silent": True, "init_timeout": START_SECONDS}
    wanted |= {"finish_timeout": FINISH_SECONDS, "finish_timeout_raises": True}
    known = wandb.Settings.model_fields  # older versions have no limit of time for the end
    return {name: value for name, value in wanted.items() if name in known}


def _find_lack(wandb: Any) -> str:
    """Why runs cannot be sent to W&B's server, as the beginning of a sentence; '' where they can, or are not to be."""
    if os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        return ""
    if not _has_key(wandb):
        return "no login was found, so it is "
    # An attempt that fails would take the run's id with it, for as long as this process lives.
    fault = find_fault(str(wandb.setup().settings.base_url))
    return f"{fault} So it is " if fault else ""


def _has_key(wandb: Any) -> bool:
    """Is there a key or token for W&B's server, in the places where W&B itself looks?"""
    if any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")):
        return True
    settings = wandb.setup().settings
    if settings.api_key:
        return True
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        found = netrc.netrc(path)
    except (OSError, netrc.NetrcParseError):
        return False
    # W&B's own server goes by two names.
    hosts = {urlsplit(str(settings.base_url)).netloc, "api.wandb.ai"}
    return any(found.authenticators(host) for host in hosts)
