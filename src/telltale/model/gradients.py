"""`GradientMaps`: what each place of a picture speaks for, by gradients in torch: Grad-CAM for any network.

A map of features times the gradient of the class's margin with respect to it, summed over the channels (Selvaraju et
al. 2017, "Grad-CAM"; with the gradient of each place by itself: Draelos & Carin 2020, "HiResCAM", which is the same
where a mean over the places follows, and right where a dense layer weighs each place). Which map:

* what a network of timm makes of a picture before it pools (`forward_features`): channels over places, or the tokens
  of a transformer without the first ones, which stand for no place;
* where only such a first token counts at the end, the gradient of the others is 0 there: what goes into the last
  block's attention, as pytorch-grad-cam does;
* for the plain networks, the last map before their dense layer.
"""

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from telltale.errors import ModelError
from telltale.model.backbone import Architecture, Backbone
from telltale.model.engine import Squares, load_network
from telltale.model.head import Floats
from telltale.model.question import Question
from telltale.model.weights import first_line
from telltale.threads import pieces

if TYPE_CHECKING:
    import torch

BATCH: Final = 8
"""Pictures at once."""

_View: TypeAlias = "Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]"
"""A way to look into a network: inputs to a map that has a gradient, and the features that are computed from it."""


class GradientMaps:
    """A network in torch with the map that is looked at; safe from several threads, which wait for each other."""

    def __init__(self, backbone: Backbone, device: str) -> None:
        import torch

        self._torch, self._device = torch, device
        self._turn = threading.Lock()
        mean, std = (np.array(one, np.float32) for one in (backbone.mean, backbone.std))
        self._scale = torch.from_numpy(1 / (255 * std)).to(device).reshape(1, 3, 1, 1)
        self._shift = torch.from_numpy(-mean / std).to(device).reshape(1, 3, 1, 1)
        self._network = load_network(backbone).requires_grad_(False).to(device)
        self._trunk = getattr(self._network, "trunk", self._network)
        # A maximum has a gradient at one place of each channel; Grad-CAM takes its mean over the places.
        self._averaged = dict(backbone.architecture.options).get("global_pool") == "max"
        self._view = self._choose(backbone.architecture)

    def evidence(self, squares: Squares, question: Question) -> Floats:
        """What each place speaks for, float32 `[n, height, width]`."""
        with self._turn:
            parts = [self._explain(squares, part, question) for part in pieces(len(squares), BATCH)]
        return np.concatenate(parts)

    def _explain(self, squares: Squares, part: range, question: Question) -> Floats:
        torch = self._torch
        with torch.enable_grad():
            leaf, features = self._view(self._enter(squares[part.start : part.stop]))
            weight = question.weigh(features.detach().cpu().numpy(), part.start)
            (slope,) = torch.autograd.grad((features * torch.from_numpy(weight).to(self._device)).sum(), leaf)
        values, slope = self._lay_out(leaf.detach()), self._lay_out(slope)
        if self._averaged:
            slope = slope.mean(dim=(2, 3), keepdim=True)
        found = np.asarray((values * slope).sum(dim=1).cpu().numpy(), np.float32)
        # Convolutions without padding: the first cell of the map lies where the second of an even grid would.
        return np.pad(found, ((0, 0), (1, 1), (1, 1)), "edge") if self._is_plain() else found

    def _is_plain(self) -> bool:
        return not hasattr(self._trunk, "forward_features")

    def _enter(self, squares: Squares) -> "torch.Tensor":
        pixels = self._torch.from_numpy(np.stack(list(squares))).to(self._device)
        entered: torch.Tensor = pixels.permute(0, 3, 1, 2).float() * self._scale + self._shift
        return entered

    def _choose(self, architecture: Architecture) -> _View:
        """The first view of the network whose map has a gradient, tried on a random picture."""
        size, why = architecture.size, "none of its layers gives a map of places"
        rng = np.random.default_rng(0)
        picture = rng.integers(0, 256, (1, size, size, 3), np.uint8)
        for view in self._views():
            try:
                with self._torch.enable_grad():
                    leaf, features = view(self._enter(picture))
                    # Not their sum or squares, which a layer that normalises makes the same for all pictures.
                    weight = self._torch.from_numpy(rng.normal(size=features.shape).astype(np.float32))
                    (slope,) = self._torch.autograd.grad((features * weight.to(self._device)).sum(), leaf)
                slope = self._lay_out(slope)
            except Exception as error:  # odd networks, lists instead of tensors: many kinds
                why = first_line(error)
                continue
            if slope.shape[2] * slope.shape[3] > 1 and slope.ne(0).any():
                return view
        raise ModelError(
            f"No heat maps can be drawn for the network {architecture.name!r} at {size} pixels ({why}).",
            expected="A convolutional network, or a transformer whose tokens are places.",
            do="Leave the heat maps out, or train another network: telltale models.",
        )

    def _views(self) -> list[_View]:
        if self._is_plain():
            return [self._behind(self._trunk.blocks)]
        views: list[_View] = [self._before_pool]
        last = getattr(self._trunk, "blocks", [None])[-1]
        if hasattr(last, "norm1"):
            views.append(self._behind(last.norm1))
        return views

    def _before_pool(self, inputs: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        with self._torch.no_grad():
            leaf = self._trunk.forward_features(inputs)
        leaf = leaf.detach().requires_grad_()
        # A copy goes on: the next layer may change it in place.
        features = self._trunk.forward_head(leaf.clone())
        return leaf, features if self._trunk is self._network else self._network.hidden(features)

    def _behind(self, layer: "torch.nn.Module") -> _View:
        """What `layer` gives, and the features of the whole network."""

        def run(inputs: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
            seen = []

            def look(module: object, given: object, output: "torch.Tensor") -> "torch.Tensor":
                seen.append(output.detach().requires_grad_())
                return seen[-1].clone()

            handle = layer.register_forward_hook(look)
            try:
                features = self._network(inputs)
            finally:
                handle.remove()
            return seen[-1], features

        return run

    def _lay_out(self, values: "torch.Tensor") -> "torch.Tensor":
        """A map of any network as `[n, channels, height, width]`."""
        if values.ndim == 4:
            channels = self._trunk.num_features
            last = values.shape[3] == channels and values.shape[1] != channels
            last = last or getattr(self._trunk, "output_fmt", "") == "NHWC"
            return values.permute(0, 3, 1, 2) if last else values
        count, tokens, channels = values.shape
        height, width = getattr(getattr(self._trunk, "patch_embed", None), "grid_size", None) or (tokens, tokens)
        if height * width > tokens:  # not known, or merged since
            height = width = math.isqrt(tokens)
        places = values[:, tokens - height * width :]
        return places.reshape(count, height, width, channels).permute(0, 3, 1, 2)
