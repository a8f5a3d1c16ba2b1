"""Write docs/<command>.md from what `telltale <command> --help` prints, and docs/checks.md; --check: are they current?

python docs/generate.py [--check]
"""

import os
import sys
from pathlib import Path

from typer.main import get_command
from typer.testing import CliRunner

from telltale.cli import app
from telltale.data.checks import describe_checks

DOCS = Path(__file__).parent
WIDTH = "80"


def pages() -> dict[str, str]:
    """File name to content: one page per command, and the checks of `telltale inspect`."""
    commands = {f"{name}.md": page(name) for name in sorted(get_command(app).commands)}
    return commands | {"checks.md": f"# What `telltale inspect` looks for\n\n{describe_checks()}"}


def page(name: str) -> str:
    """The page of one command: what it prints about itself."""
    environment = {"COLUMNS": WIDTH, "NO_COLOR": "1", "TERM": "dumb"}
    answer = CliRunner().invoke(app, [name, "--help"], prog_name="telltale", env=environment)
    if answer.exit_code:
        raise SystemExit(f"`telltale {name} --help` failed:\n{answer.output}")
    text = "\n".join(line.rstrip() for line in answer.output.strip("\n").splitlines())
    return f"# telltale {name}\n\n```text\n{text}\n```\n"


def main() -> None:
    # The help is as wide as the terminal; Python asks COLUMNS first.
    os.environ["COLUMNS"] = WIDTH
    wanted = pages()
    here = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}
    generated = {name for name, text in here.items() if text.startswith(f"# telltale {name.removesuffix('.md')}\n")}
    stale = sorted({name for name, text in wanted.items() if here.get(name) != text} | (generated - wanted.keys()))
    if "--check" in sys.argv[1:]:
        if stale:
            raise SystemExit(f"Not current: {', '.join(f'docs/{name}' for name in stale)}. Run: make docs")
        return
    for name in stale:
        if name in wanted:
            (DOCS / name).write_text(wanted[name], encoding="utf-8", newline="\n")
        else:
            (DOCS / name).unlink()
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
