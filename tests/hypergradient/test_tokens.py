"""Models of transformers that predict tokens train as they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import gdw
from gdw.errors import DataError

transformers = pytest.importorskip("transformers", reason="pip install 'gdw[text]'")

SIZES = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def model_of(kind: str, **options: Any) -> Any:
    """A tiny model in float64, without dropout."""
    torch.manual_seed(0)
    sizes = {**SIZES, "intermediate_size": 16, "num_labels": 4, **options}
    if kind == "GPT2LMHeadModel":
        config = transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, **options)
    elif kind.startswith("Llama"):
        config = transformers.LlamaConfig(**sizes)
    else:
        config = transformers.BertConfig(**sizes)
    return getattr(transformers, kind)(config).double().eval()


def batch(seed: int, classes: int = 50) -> tuple[dict[str, Tensor], Tensor]:
    """Tokens with padding at the end, and labels that leave out the beginning and the padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(50, (3, 7), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    labels = (
        ids.clone() if classes == 50 else torch.randint(classes, (3, 7), generator=generator)
    ).masked_fill(mask == 0, -100)
    labels[:, :2] = -100
    return {"input_ids": ids, "attention_mask": mask}, labels


@pytest.mark.parametrize(
    ("kind", "classes"),
    [
        ("GPT2LMHeadModel", 50),
        ("LlamaForCausalLM", 50),
        ("BertForMaskedLM", 50),
        ("BertForTokenClassification", 4),
    ],
)
def test_the_gradient_of_plain_training_is_that_of_transformers(kind: str, classes: int) -> None:
    inputs, labels = batch(1, classes)
    model, other = model_of(kind), model_of(kind)
    reweighter = gdw.Plain(model, torch.optim.SGD(model.parameters(), lr=0.1))
    step = reweighter.backward((inputs, labels))
    expected = other(**inputs, labels=labels).loss
    expected.backward()
    torch.testing.assert_close(step.loss, expected.detach().double(), rtol=1e-6, atol=0)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        if b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-8)
    assert step.weights.shape == (21, classes)


@pytest.mark.parametrize("tied", [False, True])
def test_a_causal_language_model_learns_weights_for_each_word(tied: bool) -> None:
    results = {}
    for engine in ("auto", "reference"):
        model = model_of("GPT2LMHeadModel", tie_word_embeddings=tied)
        reweighter = gdw.GDW(
            model, torch.optim.SGD(model.parameters(), lr=0.3), hypergradient=engine
        )
        results[engine] = reweighter.backward(batch(1), batch(2))
    found, expected = (results[engine].hypergradient for engine in ("auto", "reference"))
    assert found is not None
    assert expected is not None
    assert (found - expected).norm() < 1e-4 * expected.norm()
    last = found.view(3, 7, 50)[:, -1]
    assert last.abs().max() == 0  # the last position predicts nothing


def test_the_head_of_a_causal_language_model() -> None:
    model = model_of("GPT2LMHeadModel", tie_word_embeddings=False)
    reweighter = gdw.GDW(model, torch.optim.SGD(model.parameters(), lr=0.3), hypergradient="head")
    step = reweighter.backward(batch(1), batch(2))
    assert reweighter._problem.head is not None
    assert reweighter._problem.head.closed_form
    assert step.hypergradient is not None
    assert step.hypergradient.abs().max() > 0


def test_sample_weights_count_each_token_of_an_example() -> None:
    gradients = []
    for given in (torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64), None):
        model = model_of("GPT2LMHeadModel")
        reweighter = gdw.Plain(model, torch.optim.SGD(model.parameters(), lr=0.1))
        inputs, labels = batch(1)
        if given is not None:
            reweighter.count_examples_as(given)
            reweighter.backward((inputs, labels), indices=[0, 1, 2])
        else:
            counted = int((labels[:, 1:] != -100).sum())
            logits = model(**inputs).logits[:, :-1]
            losses = torch.nn.functional.cross_entropy(
                logits.transpose(1, 2), labels[:, 1:], reduction="none"
            )
            ((losses[1] + 2 * losses[2]).sum() / counted).backward()
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-12)


def test_labels_of_another_form_are_refused() -> None:
    model = model_of("GPT2LMHeadModel")
    reweighter = gdw.Plain(model, torch.optim.SGD(model.parameters(), lr=0.1))
    inputs, labels = batch(1)
    with pytest.raises(DataError, match=r"of shape \(3, 7\).*found torch.int64 of shape \(3, 6\)"):
        reweighter.backward((inputs, labels[:, 1:]))
    with pytest.raises(DataError, match="not shifted"):
        reweighter.backward((inputs, torch.tensor([0, 1, 2])))


def test_llama_in_float64_normalises_in_float32_and_gets_the_step_of_float32() -> None:
    found = {}
    for engine in ("forward", "finite_difference"):
        model = model_of("LlamaForCausalLM")
        torch.manual_seed(1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        reweighter = gdw.GDW(model, optimizer, hypergradient=engine)
        found[engine] = reweighter.backward(batch(1), batch(2)).hypergradient
    error = found["finite_difference"] - found["forward"]
    assert error.norm() < 0.01 * found["forward"].norm()
