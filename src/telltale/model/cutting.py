"""The frozen lower part of a network: which modules it has, and the place where the network can be cut in two.

What lies below the cut gives the same for a picture in every epoch, so it runs once and its activations are kept.
The cut needs a place where a single value goes from one part to the other: torch.fx records the operations of the
network, and for each place between two of them is known which values are still needed.
"""

import contextlib
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import fx, nn

from telltale.model.network import Features, Network

_TOLERANCE: Final = 1e-5
"""Largest difference between the two parts and the whole, as a share of the largest logit."""

_ALONE: Final = 1e-2
"""Largest difference between the activations of a picture alone and in a batch, as a share of the largest one: other
kernels run then, and deep networks with random weights enlarge last digits."""

_MOST_TIMES: Final = 2
"""Kept activations are at most so many times as large as at the best place below: inside a block of MobileNetV2 they
are six times as large as behind it, and the next block is only a few layers away."""

_STATELESS: Final = {
    nn.Identity, nn.Flatten, nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.LeakyReLU, nn.ELU, nn.Sigmoid,
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.ZeroPad2d,
}  # fmt: skip
"""Modules that do the same in training: behind the last frozen layer they may lie below the cut too."""


@dataclass(frozen=True)
class Cut:
    """A network in two parts that share its parameters: `upper(lower(x))` is `network(x)`.

    `lower` holds `layers` of the `of` layers of the network without head; run it in evaluation mode. The modes of the
    layers in both are set at the network itself (`set_training`). `upper` may overwrite what it is given: layers of
    timm work in place.
    """

    lower: nn.Module
    upper: nn.Module
    layers: int
    of: int


def freeze(network: Network, share: float) -> tuple[nn.Module, ...]:
    """Freeze the first `share` (0 to 1) of the layers of a network without its head; gives the modules that are frozen.

    A layer is a module that owns parameters itself; at 1 all of timm's network or the plain one is frozen. A dense
    layer in front of the head is always trained. The modules are for `set_training`: norms among them must keep
    their statistics, and dropout between them must not change what they give for a picture.
    """
    lower = _find_lower(network, share)
    for layer in lower.layers:
        for parameter in layer.parameters(recurse=False):
            parameter.requires_grad_(False)
    return lower.modules


def set_training(network: nn.Module, frozen: Iterable[nn.Module] = ()) -> None:
    """Training mode, as `network.train()` sets it, but for the `frozen` modules: they compute as when predicting."""
    network.train()
    for module in frozen:
        module.training = False


def cut_network(network: Network, share: float, example: torch.Tensor) -> Cut | None:
    """`network` cut at the last place where a single value crosses and only frozen layers lie below.

    `share` is that of `freeze`; `example` is a batch of two pictures or more, ready for the network: the two parts
    are compared with the whole on it. None where there is no such place, where torch.fx cannot follow the network,
    where it does something else in training than its modules say, or where the parts do not give the same.
    """
    lower = _find_lower(network, share)
    if len(lower.layers) == lower.of:
        return _cut_off_head(network, lower)
    with _restored(network):
        try:
            in_training, graph = (_Recorder(network).trace(network.train(mode)) for mode in (True, False))
            # Dropout as a function, say: one recording would be wrong in the other mode.
            cut = _cut(network, graph, lower, example) if _spell(in_training) == _spell(graph) else None
            return cut if cut and _is_right(network, cut, example) else None
        except Exception:  # steps that depend on the pictures: torch.fx and timm raise many kinds
            return None


@dataclass(frozen=True)
class _Lower:
    """The frozen part: `layers` own parameters, `modules` hold no trained ones; the network has `of` layers."""

    layers: tuple[nn.Module, ...]
    modules: tuple[nn.Module, ...]
    of: int


def _find_lower(network: Network, share: float) -> _Lower:
    trunk = network.features.trunk if isinstance(network.features, Features) else network.features
    modules = list(trunk.modules())
    places = [place for place, module in enumerate(modules) if _owns(module)]
    count = round(share * len(places))
    layers = tuple(modules[place] for place in places[:count])
    if count == len(places):
        return _Lower(layers, tuple(modules), count)
    trained = {modules[place] for place in places[count:]}
    below = modules[: places[count - 1] + 1] if count else []
    return _Lower(layers, tuple(one for one in below if trained.isdisjoint(one.modules())), len(places))


def _owns(module: nn.Module) -> bool:
    """Does it have parameters that are not those of a module inside of it?"""
    return next(module.parameters(recurse=False), None) is not None


class _Recorder(fx.Tracer):
    """Records a network down to its layers: what owns parameters or has nothing inside is called, not looked into.

    So norms and dropout stay modules, whose mode can be changed after the recording.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        features = network.features
        self._open = {features, features.trunk} if isinstance(features, Features) else {features}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if m in self._open:  # a transformer owns its tokens itself
            return False
        childless = next(m.children(), None) is None
        return childless or _owns(m) or super().is_leaf_module(m, module_qualified_name)


def _spell(graph: fx.Graph) -> list[tuple[Any, ...]]:
    """The operations of a recording, to compare it with another."""
    return [(node.op, node.target, str(node.args), str(node.kwargs)) for node in graph.nodes]


class _Measure(fx.Interpreter):
    """Runs a recording; `sizes` are then the numbers per picture of each value with one row per picture."""

    def __init__(self, network: Network, graph: fx.Graph, example: torch.Tensor) -> None:
        super().__init__(network, graph=graph)
        self.sizes: dict[fx.Node, int] = {}
        self._rows = len(example)
        with torch.no_grad():
            self.run(example)

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, torch.Tensor) and result.ndim > 1 and len(result) == self._rows:
            self.sizes[n] = result[0].numel()
        return result


def _cut_off_head(network: Network, lower: _Lower) -> Cut:
    """All of timm's network or the plain one below; this needs no recording."""
    features, above = network.features, [network.dropout, network.head]
    if isinstance(features, Features):
        return Cut(features.trunk, nn.Sequential(features.hidden, *above), lower.of, lower.of)
    return Cut(features, nn.Sequential(*above), lower.of, lower.of)


def _cut(network: Network, graph: fx.Graph, lower: _Lower, example: torch.Tensor) -> Cut | None:
    """The two parts, where there is a place for the cut."""
    sizes = _Measure(network.eval(), graph, example).sizes
    nodes = list(graph.nodes)
    places: dict[int, fx.Node] = {}
    for end, node in enumerate(nodes):
        crossing = _find_crossing(nodes, end)
        if len(crossing) == 1 and crossing[0] in sizes and crossing[0].op != "placeholder":
            places[end] = crossing[0]
        if not _is_frozen(node, network, lower):
            break
    if not places:
        return None
    most = _MOST_TIMES * min(sizes[node] for node in places.values())
    end = max(end for end, node in places.items() if sizes[node] <= most)
    below, above = nodes[:end], nodes[end:]
    # What the network owns is there on both sides.
    owned = [node for node in below if node.op == "get_attr" and not node.users.keys().isdisjoint(above)]
    halves = _copy(network, below, result=places[end]), _copy(network, owned + above, given=places[end])
    return Cut(*halves, len(_find_layers(network, below).intersection(lower.layers)), lower.of)


def _find_crossing(nodes: list[fx.Node], end: int) -> list[fx.Node]:
    """What the operations from `end` on need of those before, but for what the network owns."""
    above = set(nodes[end:])
    return [node for node in nodes[:end] if node.op != "get_attr" and not above.isdisjoint(node.users)]


def _is_frozen(node: fx.Node, network: Network, lower: _Lower) -> bool:
    """Does this operation give the same for a picture, whatever is trained?"""
    if node.op == "call_module":
        module = _find(network, node)
        return module in lower.modules or type(module) in _STATELESS
    if node.op == "get_attr":
        owned = _find(network, node)
        own = (one for layer in lower.layers for one in layer.parameters(recurse=False))
        return not isinstance(owned, nn.Parameter) or any(owned is one for one in own)
    return node.op != "output"


def _find(network: Network, node: fx.Node) -> Any:
    """The module or tensor that an operation names."""
    return functools.reduce(getattr, str(node.target).split("."), network)


def _find_layers(network: Network, nodes: list[fx.Node]) -> set[nn.Module]:
    """The modules that these operations use."""
    called = [_find(network, node) for node in nodes if node.op == "call_module"]
    owners = [str(node.target).rpartition(".")[0] for node in nodes if node.op == "get_attr"]
    return {inside for module in called for inside in module.modules()} | {network.get_submodule(one) for one in owners}


def _copy(
    network: Network, nodes: list[fx.Node], *, given: fx.Node | None = None, result: fx.Node | None = None
) -> fx.GraphModule:
    """These operations as a module that shares what `network` owns, from the value `given` or to the value `result`."""
    graph = fx.Graph()
    copies = {given: graph.placeholder("activations")} if given else {}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    if result:
        graph.output(copies[result])
    return fx.GraphModule(network, graph)


def _is_right(network: Network, cut: Cut, example: torch.Tensor) -> bool:
    """Do the parts give what the whole gives, for a batch and for a single picture, with one row per picture?"""
    network.eval()
    with torch.no_grad():
        whole, activations, single = network(example), cut.lower(example), cut.lower(example[:1])
        if activations.shape != (len(example), *single.shape[1:]) or cut.upper(single).shape != whole[:1].shape:
            return False
        off, off_alone = (cut.upper(activations) - whole).abs(), (single - activations[:1]).abs()
        return bool(off.max() <= _TOLERANCE * whole.abs().max() and off_alone.max() <= _ALONE * activations.abs().max())


@contextlib.contextmanager
def _restored(network: nn.Module) -> Iterator[None]:
    """Afterwards every module is in the mode that it was in before, and what a recording left behind is gone."""
    modes, names = {module: module.training for module in network.modules()}, set(vars(network))
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for name in vars(network).keys() - names:
            delattr(network, name)


def depth_groups(features: nn.Module) -> list[list[tuple[str, nn.Parameter]]]:
    """Named parameters of a network without head in groups from input to output, for rates that decay with depth.

    A group is what has the same name up to and including the first number: `conv_stem`, `blocks.0`, `blocks.1`. What
    the network owns itself, such as a transformer's tokens, goes with the lowest; a dense layer behind it comes last.

    >>> from telltale.model.cnn import PlainCNN
    >>> [[name for name, _ in group] for group in depth_groups(PlainCNN(32, filters=(4, 4)))]
    [['blocks.0.weight', 'blocks.0.bias'], ['blocks.3.weight', 'blocks.3.bias'], ['dense.0.weight', 'dense.0.bias']]
    """
    groups: dict[str, list[tuple[str, nn.Parameter]]] = {}
    own = []
    for name, parameter in features.named_parameters():
        parts = name.removeprefix("trunk.").split(".")[:-1]
        if parts:
            numbers = [place for place, part in enumerate(parts) if part.isdigit()]
            group = ".".join(parts[: numbers[0] + 1] if numbers else parts[:1])
            groups.setdefault(group, []).append((name, parameter))
        else:
            own.append((name, parameter))
    lowest, *others = groups.values() or [[]]
    return [[*own, *lowest], *others]
