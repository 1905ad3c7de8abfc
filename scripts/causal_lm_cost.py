"""What a step costs on a causal language model with 32,000 words: time and memory beside plain training.

    python scripts/causal_lm_cost.py --repeats 5

Needs transformers (`pip install 'gdw[text]'`). The model is a Llama of two layers with width 256 and random
weights, so most of its time is that of the output layer. Memory is the most bytes of tensors alive in a step.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from gdw.bench.memory import peak_bytes
from gdw.reweight import build

WORDS = 32_000
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain, by gdw": ("plain", {}),
    "GDW, exact": ("gdw", {}),
    "GDW, head only": ("gdw", {"hypergradient": "head"}),
}


def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
    )
    return LlamaForCausalLM(config).train()


def steps(sequences: int, tokens: int) -> dict[str, Callable[[], None]]:
    """The steps by name; the first is the loop that users of transformers write."""
    generator = torch.Generator().manual_seed(1)
    shape = (sequences, tokens)
    train, meta = (torch.randint(WORDS, shape, generator=generator) for _ in range(2))

    def plain() -> Callable[[], None]:
        network = model()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

        def step() -> None:
            optimizer.zero_grad()
            output = network(input_ids=train, labels=train)
            output.loss.backward()
            optimizer.step()

        return step

    def ours(method: str, options: dict[str, Any]) -> Callable[[], None]:
        network = model()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        reweighter = build(method, network, optimizer, **options)

        def step() -> None:
            optimizer.zero_grad()
            reweighter.backward(({"input_ids": train}, train), ({"input_ids": meta}, meta))
            optimizer.step()

        return step

    return {
        "plain, by transformers": plain(),
        **{name: ours(*how) for name, how in METHODS.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=96)
    chosen = parser.parse_args()
    made = steps(chosen.sequences, chosen.tokens)
    for step in made.values():
        step()
        step()
    memory = {name: peak_bytes(step) for name, step in made.items()}
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(chosen.repeats):
        for name, step in made.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    base = next(iter(made))
    for name, times in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(times, seconds[base], strict=True))
        print(f"{name:24s} time {ratio:.2f}, memory {memory[name] / memory[base]:.2f}")


if __name__ == "__main__":
    main()
