"""`About`: which training this is, for those who are told of it."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_PATIENCE: Final = 5.0
"""Seconds that git may take: in a large working tree on a network disk it can take minutes."""


@dataclass(frozen=True)
class About:
    """Which training this is and what it learns from."""

    id: str
    """Stays the same when the training goes on, also on another machine."""
    name: str
    folder: Path
    """The run folder."""
    settings: Mapping[str, Any]
    """The recipe, by name of the setting."""
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""
    """The git commit of the folder where the user works; empty where there is none."""
    changed: bool = False
    """There are changes that are not in that commit."""
    data_hash: str = ""
    """SHA-256 over all pictures, labels and parts."""
    source: str = ""
    classes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    """Pictures by part: train, validation, test."""

    def facts(self) -> dict[str, Any]:
        """All but the settings, as plain values for a tracker's own list."""
        return {
            "run": self.id,
            "source": self.source,
            "data_hash": self.data_hash,
            "classes": list(self.classes),
            "pictures": dict(self.counts),
            "versions": dict(self.versions),
            "git_commit": self.commit,
            "git_changed": self.changed,
        }


def read_commit(folder: Path) -> tuple[str, bool]:
    """The git commit of a folder, and whether something in it was changed since; '' where there is none, or no git."""
    try:
        commit = _ask_git(folder, "rev-parse", "HEAD")
        return commit, bool(_ask_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "", False


def _ask_git(folder: Path, *words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=True)
    return done.stdout.strip()
