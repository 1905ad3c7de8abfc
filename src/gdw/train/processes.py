"""The processes that train together; each one's device, signals and random numbers."""

from __future__ import annotations

import atexit
import logging
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor, nn

from gdw.errors import ConfigError, GDWError, RunError
from gdw.hypergradient.collective import require_whole
from gdw.hypergradient.random_state import RandomState
from gdw.train.config import TrainConfig

T = TypeVar("T")

_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "64": "64-true"}


class Processes:
    """This process and the others of a training: rank, device, autocast, and collective operations.

    With `devices * nodes > 1`, `launch` starts the calling script once more for every further process
    (Fabric's "ddp" launcher). Call it early in the script. Under torchrun the processes exist already,
    and torchrun decides how many there are. The model is not wrapped, because the reweighters reduce
    their own gradients.

    Attributes:
        rank: the number of this process, from 0.
        size: how many processes there are.
        device: the device of this process.
    """

    def __init__(self, config: TrainConfig) -> None:
        devices, nodes = _devices_and_nodes(config)
        with _quiet_fabric():
            self._fabric = Fabric(
                accelerator=config.accelerator,
                devices=devices,
                num_nodes=nodes,
                strategy="ddp" if devices * nodes > 1 else "auto",
                precision=_PRECISION[config.precision],  # type: ignore[arg-type]
            )

    def launch(self) -> None:
        """Start or join the other processes. This process leaves the group when it exits."""
        joined_before = dist.is_available() and dist.is_initialized()
        try:
            with _quiet_fabric():
                self._fabric.launch()
        except RuntimeError as error:
            from gdw.train.connection_errors import ended_launch

            raise ended_launch(error, self._fabric) from error.__cause__
        if self.size > 1 and not joined_before:
            # Fabric does this for NCCL only, but a thread of gloo can abort a process that exits with it.
            atexit.register(_leave_group)

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
        """Copy the parameters and buffers of the first process to every process."""
        require_whole(model)
        if self.size > 1:
            for tensor in model.state_dict(keep_vars=True).values():
                dist.broadcast(tensor.data, src=0)

    def share_buffers(self, model: nn.Module) -> None:
        """Copy the buffers of the first process to every process: BatchNorm's statistics differ."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer.data, src=0)

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether any process has set it."""
        if self.size == 1:
            return list(flags)
        total = torch.tensor([int(flag) for flag in flags], device=self.device)
        dist.all_reduce(total, op=dist.ReduceOp.MAX)
        return [bool(value) for value in total.tolist()]

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values` over the processes; any shape, on the CPU or on the device."""
        if self.size == 1:
            return values
        total = values.to(self.device)
        dist.all_reduce(total)
        return total

    def gather(self, value: T) -> list[T]:
        """The `value` of every process, ordered by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def together(self, act: Callable[[], object]) -> None:
        """Call `act` on every process. If one of them finds an error, every process raises it."""
        own: GDWError | None = None
        try:
            act()
        except GDWError as error:
            own = error
        found = self.gather(None if own is None else str(own))
        if own is not None:
            raise own
        for message in found:
            if message is not None:
                raise RunError(message)

    def on_first(self, act: Callable[[], T]) -> T:
        """Call `act` on the first process only. Every process gets its result, or raises."""
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
                # Also after an error: otherwise the other processes would wait forever.
                dist.broadcast_object_list(outcome, src=0)
        else:
            dist.broadcast_object_list(outcome, src=0)
            if outcome[1] is not None:
                raise RunError(outcome[1])
        result: T = outcome[0]
        return result


@contextmanager
def _quiet_fabric() -> Iterator[None]:
    """Silence Fabric's messages about precision and processes; its warnings are still shown."""
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)


def _leave_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _devices_and_nodes(config: TrainConfig) -> tuple[int, int]:
    """Devices per node, and nodes: torchrun's if it started this process, else the configuration's."""
    if not dist.is_available() or not dist.is_torchelastic_launched():
        return config.devices, config.nodes
    world, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    requested = config.devices * config.nodes
    if requested not in (1, world):
        raise ConfigError(
            f"devices * nodes = {requested}, but torchrun started {world} processes: "
            "leave devices and nodes out"
        )
    return local, world // local


_HANGUP = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()


class Interrupt:
    """A context in which a signal to stop asks the training to stop at the next step.

    The signals are Ctrl-C (SIGINT), SIGTERM, and SIGHUP, which a terminal sends when it is closed (with
    `nohup` it stays ignored). The first signal sets `requested`. The second one raises `KeyboardInterrupt`;
    SIGHUP does not, as it may come twice. On exit the previous signal handlers are restored. Outside the main
    thread, where Python receives no signals, the context does nothing.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, *_HANGUP)

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, Any] = {}
        self._terminals = [number for number in (1, 2) if _is_terminal(number)]

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                if number not in _HANGUP or signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            # None: a handler that was not installed by Python, so Python cannot restore it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if number in _HANGUP:
            # A message to a terminal that is gone would be an error before the checkpoint is written.
            with Path(os.devnull).open("wb") as nowhere:
                for terminal in self._terminals:
                    os.dup2(nowhere.fileno(), terminal)
        elif self.requested:
            raise KeyboardInterrupt
        self.requested = True


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def random_state(device: torch.device) -> dict[str, Any]:
    """The states of the process-wide generators: Python's, NumPy's, and PyTorch's on CPU and `device`.

    The dictionary holds tensors and plain values only, so a checkpoint can hold it.
    """
    state = RandomState.capture([device])
    name, keys, *rest = state.numpy
    return {
        "python": state.python,
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": state.cpu,
        "device": [own for _, own in state.devices],
    }


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Set the generators to what `random_state` returned, on the same kind of device or another."""
    name, keys, *rest = state["numpy"]
    RandomState(
        python=state["python"],
        numpy=(name, keys.numpy().astype(np.uint32), *rest),
        cpu=state["torch"],
        devices=tuple((device, own) for own in state["device"] if device.type != "cpu"),
    ).restore()


@contextmanager
def random_state_kept() -> Iterator[None]:
    """A context on whose exit the process-wide generators of the CPU are as they were."""
    before = RandomState.capture()
    try:
        yield
    finally:
        before.restore()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """A context in which every process-wide generator starts from `seed`; on exit all are restored."""
    before = RandomState.capture([device])
    try:
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - a user's transforms may draw from it
        torch.manual_seed(seed)
        yield
    finally:
        before.restore()
