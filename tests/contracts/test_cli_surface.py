"""Commands, arguments, options and defaults are frozen in cli_surface.txt, so that a change stands in the diff.

Users' scripts depend on them. After a change that is wanted, write the file again and commit it:

    python tests/contracts/test_cli_surface.py
"""

import inspect
from pathlib import Path
from typing import get_args

from typer.main import get_command

from telltale.cli import app

FROZEN = Path(__file__).with_name("cli_surface.txt")


def surface() -> str:
    """One line per command and per parameter."""
    root = get_command(app)
    commands = {"telltale": root} | {f"telltale {name}": root.commands[name] for name in sorted(root.commands)}
    lines = []
    for name, command in commands.items():
        signature = inspect.signature(command.callback, eval_str=True)
        lines += [name, *sorted(f"    {describe(one, signature.parameters[one.name])}" for one in command.params)]
    return "\n".join(lines) + "\n"


def describe(parameter, declared: inspect.Parameter) -> str:
    """Names, type and default of one parameter, as `--lr: float | None`."""
    kind = get_args(declared.annotation)[0]
    kind = kind.__name__ if isinstance(kind, type) else str(kind).replace("pathlib.", "")
    names = sorted([*parameter.opts, *parameter.secondary_opts], key=lambda name: (len(name), name))
    argument = parameter.param_type_name == "argument"
    written = ", ".join(name.upper() for name in names) if argument else ", ".join(names)
    empty = declared.default in (inspect.Parameter.empty, None, False, "")
    return f"{written}: {kind}" + ("" if empty else f" = {declared.default}")


def test_command_line_is_as_frozen():
    how = "if this change is wanted: python tests/contracts/test_cli_surface.py"
    assert surface() == FROZEN.read_text(encoding="utf-8"), how


def test_every_parameter_is_explained():
    for name, command in get_command(app).commands.items():
        assert command.help, f"telltale {name} has no help"
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"telltale {name}: {parameter.name} has no help"


def test_there_are_few_enough_commands_to_remember():
    assert len(get_command(app).commands) <= 12


if __name__ == "__main__":
    FROZEN.write_text(surface(), encoding="utf-8", newline="\n")
