"""LoRA and DoRA on the linear layers that learn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..config import AdapterConfig
from .cloze_model import ClozeModel, whole

FAINT = 1e-2
"""Magnitude, as a share of the norm, below which a row's output is mostly its bias."""


class AdaptedLinear(nn.Module):
    """A frozen linear layer with a low-rank update of its weight W [out, in].

    LoRA (arXiv 2106.09685): W' = W + s B A, with A [rank, in], B [out, rank] and s = alpha / rank.
    DoRA (arXiv 2402.09353, eq. 5): W' = m (W + s B A) / ||W + s B A||, the norm of each output row
    taken as a constant in the gradient (section 4.3 there) and m [out] learnt.
    """

    zero_row: Tensor
    squared: Tensor

    def __init__(self, base: nn.Linear, config: AdapterConfig) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = (config.rank if config.alpha is None else config.alpha) / config.rank
        self.a = nn.Parameter(base.weight.new_empty(config.rank, base.in_features))
        self.b = nn.Parameter(base.weight.new_zeros(base.out_features, config.rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))
        self.magnitude: nn.Parameter | None = None
        self._unmerged: Tensor | None = None
        self._scaled: tuple[Any, Tensor, Tensor | None] | None = None
        if config.kind == "dora":
            norms = base.weight.detach().norm(dim=1)
            # A row of zeros has no direction; with magnitude 1 and norm 1 it starts as zeros and may grow.
            self.register_buffer("zero_row", norms == 0, persistent=False)
            self.register_buffer("squared", norms.square(), persistent=False)
            self.magnitude = nn.Parameter(torch.where(norms == 0, torch.ones_like(norms), norms))

    @torch.no_grad()
    def norms(self) -> Tensor:
        """||W + s B A|| of each row [out] by ||W||^2 + 2 s <W, BA> + s^2 ||BA||^2, never forming BA."""
        return self._norms(self.base.weight, self.a, self.b)

    def _norms(self, weight: Tensor, a: Tensor, b: Tensor) -> Tensor:
        s = self.scale
        cross = ((weight @ a.T) * b).sum(dim=1)
        update = ((b @ (a @ a.T)) * b).sum(dim=1)
        norms = (self.squared + 2 * s * cross + s * s * update).clamp_min(0).sqrt()
        return torch.where(self.zero_row | (norms == 0), torch.ones_like(norms), norms)

    def forward(self, x: Tensor) -> Tensor:
        if self._unmerged is not None:
            return nn.functional.linear(x, self.base.weight, self.base.bias)
        if torch.is_autocast_enabled(x.device.type):
            return self._plainly(x)
        weight, norms = self._weight_of_the_step()
        out: Tensor = _Adapted.apply(  # type: ignore[no-untyped-call]
            x.reshape(-1, x.shape[-1]),
            self.base.weight,
            self.base.bias,
            self.a,
            self.b,
            self.magnitude,
            weight,
            norms,
            self.scale,
        )
        return out.view(*x.shape[:-1], -1)

    def _plainly(self, x: Tensor) -> Tensor:
        """The formula as autograd sees it, in whatever precision autocast chooses."""
        out = nn.functional.linear(x, self.base.weight) + self.scale * ((x @ self.a.T) @ self.b.T)
        if self.magnitude is not None:
            out = out * (self.magnitude / self.norms())
        return out if self.base.bias is None else out + self.base.bias

    @torch.no_grad()
    def _weight_of_the_step(self) -> tuple[Tensor, Tensor | None]:
        """m / ||W + s B A|| times W, and the norms: formed anew only when an optimiser has changed A, B or m."""
        if self.magnitude is None:
            return self.base.weight, None
        parts = (self.base.weight, self.a, self.b, self.magnitude)
        now = tuple((part.data_ptr(), part._version) for part in parts)
        # Sharded parameters (FSDP) are gathered anew for every forward and tell nothing by their versions.
        if self._scaled is None or self._scaled[0] != now or torch.distributed.is_initialized():
            norms = self.norms()
            self._scaled = now, self.base.weight * (self.magnitude / norms)[:, None], norms
        return self._scaled[1], self._scaled[2]

    @torch.no_grad()
    def merged_weight(self) -> Tensor:
        """W' [out, in]: the weight of the plain linear layer that does the same."""
        base, a, b = whole(self.base.weight), whole(self.a), whole(self.b)
        weight = base + self.scale * (b @ a)
        return weight if self.magnitude is None else weight * (whole(self.magnitude) / self._norms(base, a, b))[:, None]

    def merge(self) -> None:
        """Puts W' in the place of W; what it was is kept aside."""
        if self._unmerged is None:
            weight, self._unmerged = self.merged_weight(), self.base.weight.detach().clone()
            self.base.weight.data.copy_(weight)

    def unmerge(self) -> None:
        """Puts W back, bit for bit."""
        if self._unmerged is not None:
            self.base.weight.data.copy_(self._unmerged)
            self._unmerged = None


class _Adapted(torch.autograd.Function):
    """y = c (x W^T + s x A^T B^T) + bias with c = m / norm (1 for LoRA), given c W, without a pass over y to spare.

    In the gradient of m the product x W'^T is y itself, which the next layer keeps anyway: so no
    gradient as large as W is ever formed.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        base: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        magnitude: Tensor | None,
        weight: Tensor,
        norms: Tensor | None,
        scale: float,
    ) -> Tensor:
        low = x @ a.T
        scaled_b = b * scale if magnitude is None or norms is None else b * (scale * magnitude / norms)[:, None]
        y = nn.functional.linear(x, weight, bias)
        y.addmm_(low, scaled_b.T)
        ctx.scale = scale
        ctx.save_for_backward(
            x, base, bias, a, b, magnitude, weight, norms, low, scaled_b, None if norms is None else y
        )
        return y

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, base, bias, a, b, magnitude, weight, norms, low, scaled_b, y = ctx.saved_tensors
        grad = grad.contiguous()
        grad_low = grad @ scaled_b
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.addmm(grad @ weight, grad_low, a)
        grad_a = grad_low.T @ x
        grad_scaled_b = grad.T @ low
        if magnitude is None:
            return grad_x, None, None, grad_a, grad_scaled_b * ctx.scale, *[None] * 4
        grad_b = grad_scaled_b * (ctx.scale * magnitude / norms)[:, None]
        grad_m = (grad * y).sum(dim=0)
        if bias is not None:
            grad_m -= grad.sum(dim=0) * bias
        grad_m /= magnitude
        # Where m is next to nothing, y tells nothing of the product: it is computed anew for those rows.
        faint = magnitude.abs() < FAINT * norms
        if faint.any():
            rows = base[faint] + ctx.scale * (b[faint] @ a)
            grad_m[faint] = (grad[:, faint] * (x @ rows.T)).sum(dim=0) / norms[faint]
        return grad_x, None, None, grad_a, grad_b, grad_m, None, None, None


def add_adapters(model: ClozeModel, config: AdapterConfig) -> None:
    """Freezes the model and adapts every linear layer of the branch: attention, MLP and the head's dense.

    The decoder is no part of the branch and stays as it is: it is tied to the embeddings, which a
    merge would corrupt. A classifier in its place learns whole.
    """
    if config.kind != "none":
        adapt(model, dict.fromkeys(adaptable(model), config))


def adaptable(model: ClozeModel) -> dict[str, nn.Linear]:
    """The linear layers above the frozen ones by their names in the masked LM; never the tied decoder."""
    within = {id(part) for part in model.branch.modules()}
    linear = {path: part for path, part in model.masked_lm.named_modules() if isinstance(part, nn.Linear)}
    return {path: part for path, part in linear.items() if id(part) in within}


def adapt(model: ClozeModel, configs: Mapping[str, AdapterConfig]) -> None:
    """Freezes the masked LM and adapts the named linear layers of it."""
    model.masked_lm.requires_grad_(False)
    linear = adaptable(model)
    changed = {id(linear[path]): AdaptedLinear(linear[path], config) for path, config in configs.items()}
    for holder in list(model.modules()):
        for name, child in holder._modules.items():
            if id(child) in changed:
                holder._modules[name] = changed[id(child)]


def adapters(model: ClozeModel) -> dict[str, AdaptedLinear]:
    """The adapted layers by their names in the masked LM."""
    return {path: part for path, part in model.masked_lm.named_modules() if isinstance(part, AdaptedLinear)}


def merge_adapters(model: ClozeModel) -> None:
    """Puts every adapted weight in its layer, which then costs no more than a plain one."""
    for adapted in adapters(model).values():
        adapted.merge()


def unmerge_adapters(model: ClozeModel) -> None:
    """Takes the adapters out again, bit for bit."""
    for adapted in adapters(model).values():
        adapted.unmerge()


def merged_state(model: ClozeModel) -> dict[str, Tensor]:
    """The weights of the plain masked LM that does the same, by Hugging Face's names; the model stays as it is."""
    held = model.masked_lm.state_dict(keep_vars=True)
    gathered = {id(tensor): whole(tensor) for tensor in held.values()}  # tied weights stay one
    state = {name: gathered[id(tensor)] for name, tensor in held.items()}
    for path, adapted in adapters(model).items():
        for name in [name for name in state if name.startswith(f"{path}.")]:
            tensor = state.pop(name)
            if name.startswith(f"{path}.base."):
                state[f"{path}.{name.rpartition('.')[2]}"] = tensor
        state[f"{path}.weight"] = adapted.merged_weight()
    return state
