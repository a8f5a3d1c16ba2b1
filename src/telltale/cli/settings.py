"""The settings of a training: from a named recipe, a file, a run or a preset, with flags and `--set` put over them."""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from telltale.progress import Note, Tell

if TYPE_CHECKING:
    from typer import Context

    from telltale.data.source import Columns
    from telltale.training.recipe import Recipe

WRITTEN_DOWN: Final = frozenset({"mirrors", "mirror_wait", "trackers"})
"""Settings about where else a training is written down."""


def check_together(data: str, resume: str | None, given: Mapping[str, object]) -> None:
    """Raise `RecipeError` where DATA is missing, or where flags are `given` (not empty) that exclude one another."""
    from telltale.errors import RecipeError

    names = [name for name, value in given.items() if value]
    for name in ("--from", "--recipe", "--quality", "--resume"):
        if {**given, "--resume": resume}.get(name) == "":
            raise RecipeError(
                f"{name} is empty.",
                expected="A name or a path.",
                do="Give one, or leave the flag out; a variable of the shell may be unset.",
            )
    if resume is not None and names:
        raise RecipeError(
            f"--resume was given together with {' and '.join(names)}.",
            expected="--resume with DATA, --epochs, --patience, --time, --mirror, --tracker, --output or --device at "
            "most: all else is as it began.",
            do=f"Leave {' and '.join(names)} out, or leave --resume out to begin a new training.",
        )
    if resume is None and not data:
        raise RecipeError(
            "No DATA was given.",
            expected="A folder, table, archive or URL of pictures; only --resume knows where they are.",
            do="Write telltale train DATA, or telltale train --resume RUN.",
        )
    for pair in (("--recipe", "--quality"), ("--find-lr", "--prove-resume")):
        if set(pair) <= set(names):
            raise RecipeError(
                f"{pair[0]} and {pair[1]} were given together.",
                expected="One of them.",
                do=f"Leave {pair[1]} out, and give it in a command of its own.",
            )


def read_base(recipe: str | None, resume: Path | None, tell: Tell) -> "Recipe":
    """What flags are put over: the settings of the run that goes on, else of the recipe, else the usual ones.

    Of a named recipe is told what it is and what to expect.
    """
    from telltale.training.recipe import Recipe

    if resume is not None:
        from telltale.training.run import open_run

        return open_run(resume).recipe
    if recipe is not None:
        from telltale.training.recipes import find_recipe, list_recipes

        for known in list_recipes():
            if known.name == recipe:
                tell(Note(f"Recipe {known.name}: {known.title}. To expect: {known.expect}."))
        return Recipe.load(find_recipe(recipe))
    return Recipe()


def choose(
    quality: str, data: str, columns: "Columns", *, device: str, flags: Mapping[str, object], tell: Tell
) -> "Recipe":
    """The settings of a preset for these pictures on this device, with the reason told; `flags` come over them."""
    from telltale.data.source import open_source
    from telltale.model.zoo import find_silence
    from telltale.training.quality import choose_quality

    pictures = len(open_source(data, columns, tell=tell).samples)
    choice = choose_quality(quality, device=device, pictures=pictures, hub=not find_silence())
    others = [name for name, value in choice.settings.items() if flags.get(name, value) != value]
    if not others:
        tell(Note(choice.why))
    else:
        kept = ", ".join(f"{name} {value}" for name, value in choice.settings.items() if name not in others)
        tell(Note(f"{quality}: {kept or 'nothing'}; {' and '.join(others)} as you say."))
    return choice.recipe


def read_pairs(settings: Sequence[str]) -> dict[str, str]:
    """Name and value of each `--set NAME=VALUE`."""
    from telltale.errors import RecipeError

    pairs = {}
    for text in settings:
        name, sign, value = text.partition("=")
        if not sign:
            raise RecipeError(
                f"--set {text!r} has no '='.",
                expected="--set NAME=VALUE.",
                do="Write for example --set resize=pad.",
            )
        pairs[name.strip()] = value.strip()
    return pairs


def find_idle(settings: "Recipe", given: Mapping[str, str], job: str) -> Iterator[tuple[str, str]]:
    """What was given and has no effect with these settings, and why.

    `given` are names of settings, and `folder` for `--output`, with the words that they were given by. `job` is
    `train`, `find-lr` or `prove-resume`.
    """
    from telltale.training.recipe import LEARNED

    idle: dict[str, Collection[str]] = {}
    if settings.how == "probe":
        idle["on a probe: it is for --fit finetune and --fit scratch"] = LEARNED
        if not settings.views:
            idle["on a probe without --set views=N"] = {"augment"}
    else:
        idle |= _find_idle_in_steps(settings)
    if settings.how == "scratch":
        idle["from scratch: it is for pretrained networks"] = {"weights", "layer_decay", "fix_norms", "lookalikes"}
    if not settings.mirrors:
        idle["without --mirror"] = {"mirror_wait"}
    if settings.start_from:
        idle["with --from, which brings its network and weights"] = {"model", "weights", "resize"}
    if job == "train" and settings.folds:
        idle["on a cross-validation: the source's own split does not count"] = {"test_split", "fix_leaks"}
    if job == "find-lr":
        idle["on --find-lr, which looks for one"] = {"lr"}
        idle["on --find-lr, which uses one split"] = {"folds"}
        idle["on --find-lr, which trains nothing to keep"] = {*WRITTEN_DOWN, "keep"}
    if job == "prove-resume":
        idle["on --prove-resume, which leaves no run behind"] = {"folder", *WRITTEN_DOWN}
        idle["on --prove-resume, which trains one split"] = {"folds"}
    for why, names in idle.items():
        yield from ((words, why) for name, words in given.items() if name in names)


def _find_idle_in_steps(settings: "Recipe") -> dict[str, Collection[str]]:
    """The same for a network that is trained, by reason."""
    idle: dict[str, Collection[str]] = {}
    if settings.schedule != "step":
        idle["without --set schedule=step"] = {"step_epochs"}
    if settings.schedule not in ("step", "plateau"):
        idle["without --set schedule=step or schedule=plateau"] = {"factor"}
    if settings.freeze == 1:
        idle["with --freeze 1: no layer of the network learns"] = (
            {"fix_norms"} if settings.hidden else {"fix_norms", "layer_decay"}
        )
    if not settings.freeze:
        idle["without --freeze"] = {"views"}
    elif not settings.augment:
        idle["without --augment"] = {"views"}
    return idle


def repeat(context: "Context", *, without: Collection[str], also: Sequence[str]) -> str:
    """The command that was given, as a line for a shell, `without` the parameters of these names; `also` at its end."""
    words = ["telltale", context.info_name or ""]
    for parameter in context.command.params:
        name, source = parameter.name or "", context.get_parameter_source(parameter.name or "")
        if name in without or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[name]
        option = [] if parameter.param_type_name == "argument" else [max(parameter.opts, key=len)]
        if isinstance(value, bool):
            words += option
        else:
            for one in value if isinstance(value, list | tuple) else [value]:
                words += [*option, str(one)]
    return shlex.join([*words, *also])
