"""A causal language model with many words, on which steps are timed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gdw.bench.other_packages import UnavailableError
from gdw.bench.workloads import Batch, Workload

NAME = "causal-lm"


@dataclass(frozen=True)
class LanguageModel(Workload):
    """A Llama of transformers with two layers of width 256 and random weights.

    Most of the time of a step is that of the output layer. The classes are the words of the vocabulary, and
    the labels are the tokens themselves.

    Attributes:
        batch: sequences in the training batch and in the meta batch.
        tokens: of a sequence.
    """

    model: str = NAME
    batch: int = 8
    classes: int = 32_000
    tokens: int = 96

    def build(self) -> nn.Module:
        """The model in train mode, with the same weights every time.

        Raises:
            UnavailableError: transformers is not installed.
        """
        try:
            from transformers import LlamaConfig, LlamaForCausalLM
        except ImportError as error:
            raise UnavailableError(f"not installed: pip install 'gdw[text]' ({error})") from error
        config = LlamaConfig(
            vocab_size=self.classes,
            hidden_size=256,
            intermediate_size=512,
            num_hidden_layers=2,
            num_attention_heads=4,
        )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            model: nn.Module = LlamaForCausalLM(config)
        return model.train()

    def batches(self) -> tuple[Batch, Batch]:
        """A training and a meta batch of tokens `(batch, tokens)`, which are their own labels."""
        generator = torch.Generator().manual_seed(1)
        shape = (self.batch, self.tokens)
        train, meta = (torch.randint(self.classes, shape, generator=generator) for _ in range(2))
        return (train, train), (meta, meta)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss that the model computes itself, as users of transformers train it."""
        loss: Tensor = model(input_ids=batch[0], labels=batch[1]).loss
        return loss

    @property
    def options(self) -> dict[str, object]:
        """None: the methods of this package take the model as it is."""
        return {}

    @property
    def has_images(self) -> bool:
        """No."""
        return False

    def describe(self) -> str:
        """The workload in a few words, for a title."""
        return f"{self.model}, {self.batch} x {self.tokens} tokens, {self.classes:,} words"
