"""`tinyrm` with its parameters sharded over processes on a CPU, where Accelerate itself offers FSDP on GPUs alone."""

import contextlib
import os
import sys

import accelerate
import torch
from torch.distributed.fsdp import fully_shard


class Sharded(accelerate.Accelerator):
    """Prepares a model as Accelerate does for FSDP2."""

    distributed_type = "FSDP"

    def prepare(self, model, optimiser):
        names = {parameter: name for name, parameter in model.named_parameters()}
        groups = [[names[parameter] for parameter in group["params"]] for group in optimiser.param_groups]
        fully_shard(model)
        sharded = dict(model.named_parameters())
        for group, members in zip(optimiser.param_groups, groups, strict=True):
            group["params"] = [sharded[name] for name in members]
        assert all(hasattr(parameter, "full_tensor") for parameter in sharded.values())
        return model, optimiser

    def unwrap_model(self, model):
        return model

    def no_sync(self, model):
        model.set_requires_gradient_sync(False)
        stack = contextlib.ExitStack()
        stack.callback(model.set_requires_gradient_sync, True)
        return stack

    def clip_grad_norm_(self, parameters, most):
        return torch.nn.utils.clip_grad_norm_(parameters, most)


os.environ["ACCELERATE_USE_CPU"] = "true"
accelerate.Accelerator = Sharded
from tinyrm.cli import run  # noqa: E402

sys.exit(run(sys.argv[1:]))
