"""What the tests of mirrors need: runs without a network, and places that do something else first."""

from telltale.training.run import Run, identify
from telltale.training.store import STATE, Store

RUN = "00c0ffee"
SETTINGS = 'model = "cnn"\n'


def make_run(folder, id_=RUN):
    """A run folder as it is when the training begins."""
    folder.mkdir(parents=True)
    run = Run(folder)
    identify(run, id_, name="pets")
    for name in ("index.arrow", "splits.arrow", "source.json"):
        (folder / name).write_bytes(name.encode() * 50)
    (folder / "recipe.toml").write_text(SETTINGS)
    return run


def save(store, epoch, step=0, *, best=False):
    files = {STATE: bytes([epoch]) * 2000}
    return store.save(epoch, step, files, facts={"val_loss": 1 / (epoch + 1)}, best=best).mark


def begin(run):
    return Store(run.weights, run.id, extras={"recipe.toml": SETTINGS.encode()})


class Odd:
    """Another place whose verbs do something else first: `before(verb, name)` may raise, or return what it gives."""

    def __init__(self, place, before):
        self.place, self.before, self.url = place, before, place.url
        self.done = []

    def __getattr__(self, verb):
        real = getattr(self.place, verb)

        def ask(name="", *rest):
            self.done.append((verb, name))
            answer = self.before(verb, name)
            return real(*([name] if name else []), *rest) if answer is None else answer

        return ask
