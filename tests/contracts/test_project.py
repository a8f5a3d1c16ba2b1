"""The project speaks of itself alone, is licensed, and declares what it uses."""

import ast
import hashlib
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = ROOT / "requirements" / "constraints.txt"
FOLDERS = ("src", "tests", "docs", "benchmarks", "examples", "requirements", ".ci")
TEXT = {".py", ".md", ".toml", ".txt", ".jinja", ".yaml", ".yml", ".cfg", ".json", ""}


def texts() -> list[Path]:
    """Every text file of the project."""
    inside = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts)
    return [path for path in sorted([*ROOT.iterdir(), *inside]) if path.is_file() and path.suffix in TEXT]


def name(requirement: str) -> str:
    """`opencv-python-headless` of `opencv_python_headless>=4.10`."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()


# Written apart, so that this file does not hold what it looks for.
UNWANTED = {
    "a path of one machine": r"(?<![\w.~])/(ro" + r"ot|wo" + r"rk|home/\w+|Use" + r"rs/\w+)/",
    "the host of a package index": r"python" + r"hosted\.|pypi" + r"\.org|registry\.np" + r"m|deb\.deb" + r"ian",
    "something left open": r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b",
}


@pytest.mark.parametrize("what", UNWANTED)
def test_no_file_has(what):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(UNWANTED[what], line)
    ]
    assert not found, f"{what}:\n" + "\n".join(found)


def test_license_is_apache_2_unchanged():
    text = (ROOT / "LICENSE").read_bytes()
    assert hashlib.sha256(text).hexdigest() == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    assert PROJECT["license"] == "Apache-2.0"


def test_dependencies_are_what_is_imported():
    tops = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                tops |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                tops.add((node.module or "").split(".")[0])
    tops -= {"telltale", *sys.stdlib_module_names}
    homes = packages_distributions()
    extras = {name(one) for key, ones in PROJECT["optional-dependencies"].items() if key != "test" for one in ones}
    # Several packages may share a name such as `google`: the one that is declared is meant.
    found = [{name(home) for home in homes[top]} for top in tops]
    used = {min(ones & extras or ones) for ones in found}
    assert used - extras == {name(one) for one in PROJECT["dependencies"]}


def test_pins_are_exact_and_cover_what_is_declared():
    lines = [line for line in PINS.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line) for line in lines)
    assert lines == sorted(lines, key=name)
    declared = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
    assert {name(one) for one in declared} <= {name(line) for line in lines}


def test_what_only_one_platform_needs_is_no_dependency():
    assert not [one for one in PROJECT["dependencies"] if name(one).startswith(("nvidia", "cuda", "triton"))]
