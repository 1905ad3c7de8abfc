"""How far each engine's hypergradient is from that of double backward in float64, on this machine.

Usage: python scripts/hypergradient_accuracy.py [--device cuda]

One step of GDW on ResNet-32 after 20 steps on random images, batch 100 + 100, all from one state. Prints the
relative error `‖G − G64‖ / ‖G64‖` and the cosine. TF32 is the default of PyTorch for convolutions on NVIDIA
GPUs.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gdw.models import build_model
from gdw.reweight import build

BATCH, STEPS = 100, 20


def examples(seed: int) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    pixels = torch.randn(BATCH, 3, 32, 32, generator=draws)
    return pixels, torch.randint(0, 10, (BATCH,), generator=draws)


def trained(device: str) -> nn.Module:
    """The network some steps away from its start, where its BatchNorm statistics are usual ones."""
    model = build_model("resnet32", input_shape=(3, 32, 32), num_classes=10, seed=0).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    pixels, classes = (t.to(device) for t in examples(0))
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pixels), classes).backward()
        optimizer.step()
    return model


def hypergradient(start: nn.Module, engine: str, dtype: torch.dtype, device: str) -> Tensor:
    model = copy.deepcopy(start).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = build("gdw", model, optimizer, hypergradient=engine, weighting_network="none")
    batch, meta = ((x.to(device, dtype), y.to(device)) for x, y in (examples(0), examples(1)))
    found = method.backward(batch, meta).hypergradient
    assert found is not None
    return found.double().cpu()


def rows(device: str) -> Iterator[tuple[str, str, torch.dtype, bool]]:
    for engine in ("finite_difference", "forward", "reference", "head"):
        yield f"{engine}, float32", engine, torch.float32, False
        if device == "cuda":
            yield f"{engine}, float32 with TF32", engine, torch.float32, True
    yield "finite_difference, float64", "finite_difference", torch.float64, False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cuda", "cpu"))
    device = parser.parse_args().device
    torch.backends.cudnn.allow_tf32 = False
    start = trained(device)
    exact = hypergradient(start, "reference", torch.float64, device)
    for name, engine, dtype, tf32 in rows(device):
        torch.backends.cudnn.allow_tf32 = tf32
        found = hypergradient(start, engine, dtype, device)
        error = float((found - exact).norm() / exact.norm())
        cosine = float((found * exact).sum() / found.norm() / exact.norm())
        print(f"{name:38} error {error:8.2g}   cosine {cosine:.6f}", flush=True)


if __name__ == "__main__":
    main()
