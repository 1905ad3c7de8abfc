"""The processes that train together: launched by Lightning Fabric or torchrun, and in agreement."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor, nn

from gdw.errors import ConfigError, GDWError, RunError
from gdw.train.config import TrainConfig

T = TypeVar("T")

_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "64": "64-true"}


class Processes:
    """This process among those of the run: its rank and device, autocast, and agreement with the others.

    With `devices * nodes > 1` the script that asks is started once more for every further process
    (Fabric's "ddp" launcher), so `launch` belongs early in it. Under torchrun the processes exist
    already and their number is torchrun's. The model is not wrapped: the reweighters reduce their
    own gradients.
    """

    def __init__(self, config: TrainConfig) -> None:
        devices, nodes = _layout(config)
        self._fabric = Fabric(
            accelerator=config.accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy="ddp" if devices * nodes > 1 else "auto",
            precision=_PRECISION[config.precision],  # type: ignore[arg-type]
        )

    def launch(self) -> None:
        """Start or join the others; the process group is left when this process exits."""
        joined_before = dist.is_available() and dist.is_initialized()
        with _fabric_quiet():
            self._fabric.launch()
        if self.size > 1 and not joined_before:
            # Fabric does so for NCCL alone, but gloo's threads may abort a process that exits with them.
            atexit.register(_leave)

    @property
    def rank(self) -> int:
        return self._fabric.global_rank

    @property
    def size(self) -> int:
        return self._fabric.world_size

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        return self._fabric.device

    def autocast(self) -> AbstractContextManager[Any]:
        return self._fabric.autocast()

    def share(self, model: nn.Module) -> None:
        """Give every process the parameters and buffers of the first."""
        if self.size > 1:
            for tensor in model.state_dict(keep_vars=True).values():
                dist.broadcast(tensor.data, src=0)

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process the buffers of the first: BatchNorm's statistics differ by process."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer.data, src=0)

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is set on any process."""
        if self.size == 1:
            return list(flags)
        total = torch.tensor([int(flag) for flag in flags], device=self.device)
        dist.all_reduce(total, op=dist.ReduceOp.MAX)
        return [bool(value) for value in total.tolist()]

    def sum(self, values: Tensor) -> Tensor:
        """`values` (any shape, on the CPU or the device) summed over the processes."""
        if self.size == 1:
            return values
        total = values.to(self.device)
        dist.all_reduce(total)
        return total

    def gather(self, value: T) -> list[T]:
        """`value` of every process, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def on_first(self, act: Callable[[], T]) -> T:
        """Run `act` on the first process alone; all get its result, or all raise."""
        if self.size == 1:
            return act()
        outcome: list[Any] = [None, "the first process failed: see its error"]
        if self.is_first:
            try:
                outcome = [act(), None]
            except GDWError as error:
                outcome[1] = str(error)
                raise
            finally:
                # Also in failure: the others would wait for this process forever.
                dist.broadcast_object_list(outcome, src=0)
        else:
            dist.broadcast_object_list(outcome, src=0)
            if outcome[1] is not None:
                raise RunError(outcome[1])
        result: T = outcome[0]
        return result


@contextmanager
def _fabric_quiet() -> Iterator[None]:
    """Without Fabric's notes on standard error of who has joined; its warnings are still heard."""
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _layout(config: TrainConfig) -> tuple[int, int]:
    """Devices a node, and nodes: torchrun's where it started this process, else the configuration's."""
    if not dist.is_available() or not dist.is_torchelastic_launched():
        return config.devices, config.nodes
    world, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    asked = config.devices * config.nodes
    if asked not in (1, world):
        raise ConfigError(
            f"devices * nodes = {asked}, but torchrun started {world} processes: "
            "leave devices and nodes out"
        )
    return local, world // local
