"""The noise model by EM, and temperature scaling: against simulations whose truth is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gdw.errors import DataError
from gdw.functional.posterior import apply_temperature, fit_temperature, noise_posterior

F64 = torch.float64
T = torch.tensor([[0.6, 0.3, 0.1], [0.05, 0.9, 0.05], [0.4, 0.0, 0.6]], dtype=F64)
PRIOR = torch.tensor([0.6, 0.3, 0.1], dtype=F64)


def simulated(
    n: int = 40_000, *, clean_prior: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Exact posteriors under the clean prior of Gaussian features, given labels, true classes."""
    generator = torch.Generator().manual_seed(0)
    true = torch.multinomial(PRIOR, n, replacement=True, generator=generator)
    given = torch.multinomial(T[true], 1, generator=generator).squeeze(1)
    centres = 1.5 * torch.eye(3, dtype=F64)
    x = centres[true] + torch.randn(n, 3, generator=generator, dtype=F64)
    log_density = -0.5 * torch.cdist(x, centres) ** 2
    rho = torch.full((3,), 1 / 3, dtype=F64) if clean_prior is None else clean_prior
    return (log_density + rho.log()).softmax(1), given, true


@pytest.mark.parametrize("rho", [None, [0.2, 0.2, 0.6]])
def test_it_recovers_matrix_and_shares_whatever_the_clean_shares(rho: list[float] | None) -> None:
    clean_prior = None if rho is None else torch.tensor(rho, dtype=F64)
    p, given, true = simulated(clean_prior=clean_prior)
    fitted = noise_posterior(p, given, clean_prior=clean_prior)
    torch.testing.assert_close(fitted.transition, T, rtol=0, atol=0.05)
    torch.testing.assert_close(fitted.class_prior, PRIOR, rtol=0, atol=0.02)
    right = (fitted.responsibilities.argmax(1) == true).double().mean()
    assert right > (p.argmax(1) == true).double().mean() + 0.02
    assert right > (given == true).double().mean() + 0.02


def test_the_likelihood_never_falls_and_everything_is_a_distribution() -> None:
    p, given, _ = simulated(2_000)
    fitted = noise_posterior(p, given, tolerance=0, max_steps=60)
    gains = torch.tensor(fitted.log_likelihoods, dtype=F64).diff()
    assert len(gains) > 10
    assert gains.min() > -1e-12
    assert fitted.log_likelihoods[-1] > fitted.log_likelihoods[0] + 1e-3
    one = torch.ones(3, dtype=F64)
    torch.testing.assert_close(fitted.responsibilities.sum(1), one.new_ones(2_000))
    torch.testing.assert_close(fitted.transition.sum(1), one)
    torch.testing.assert_close(fitted.class_prior.sum(), one[0])
    direct = (3 * p * fitted.class_prior * fitted.transition[:, given].T / 3).sum(1).log().mean()
    assert fitted.log_likelihoods[-1] == pytest.approx(float(direct), abs=1e-12)


def test_sure_predictions_are_believed() -> None:
    true = torch.arange(12) % 3
    given = torch.tensor([0, 1, 2] * 3 + [1, 2, 0])
    fitted = noise_posterior(torch.nn.functional.one_hot(true).float(), given)
    assert torch.equal(fitted.responsibilities.argmax(1), true)
    counted = torch.zeros(3, 3, dtype=F64).index_put(
        (true, given), torch.ones(12, dtype=F64) / 4, True
    )
    torch.testing.assert_close(fitted.transition, counted, rtol=0, atol=1e-9)


def test_a_class_of_nobody_leaves_numbers_finite() -> None:
    p = torch.zeros(6, 4)
    p[:, 0], p[:, 1] = 0.5, 0.5
    fitted = noise_posterior(p, torch.tensor([0, 0, 1, 1, 1, 1]))
    assert fitted.responsibilities.isfinite().all()
    torch.testing.assert_close(fitted.transition.sum(1), torch.ones(4, dtype=F64))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(3).long(), r"found \(2, 2\) and \(3,\)"),
        (torch.tensor([0, 2]), "classes from 0 to 1"),
        (torch.tensor([0.0, 1.0]), "classes from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(given: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        noise_posterior(torch.full((2, 2), 0.5), given)


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_taken_away_is_found(true_temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 4, generator=generator, dtype=F64)
    y = torch.multinomial((logits / true_temperature).softmax(1), 1, generator=generator)
    q = torch.nn.functional.one_hot(y.squeeze(1), 4)
    found = fit_temperature(logits.softmax(1), q)
    assert found == pytest.approx(true_temperature, rel=0.05)

    def loss(t: float) -> float:
        return float(-(q * apply_temperature(logits.softmax(1), t).log()).sum())

    assert loss(found) < min(loss(found * 1.01), loss(found * 0.99))


def test_temperature_keeps_distributions_and_its_bounds() -> None:
    p = torch.tensor([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(apply_temperature(p, 1.0), p.double(), rtol=0, atol=1e-7)
    flat = apply_temperature(p, 20.0)
    torch.testing.assert_close(flat.sum(1), torch.ones(2, dtype=F64))
    assert flat[0].max() < 0.4
    right = torch.tensor([[1, 0, 0], [1, 0, 0]])
    assert fit_temperature(p, right) == pytest.approx(0.05)
    assert fit_temperature(p, right.flip(1)) == pytest.approx(20.0)


def test_a_prior_ties_a_class_without_examples_to_the_others() -> None:
    torch.manual_seed(0)
    true = torch.arange(200) % 2
    given = torch.where(torch.rand(200) < 0.3, 1 - true, true)
    p = 0.98 * torch.nn.functional.one_hot(true, 3).double() + 0.02 / 3
    p[:, 2] = 1e-9
    found = noise_posterior(p / p.sum(1, keepdim=True), given, strength=10.0, max_steps=100)
    torch.testing.assert_close(found.transition.sum(1), torch.ones(3, dtype=torch.float64))
    right = found.transition.diagonal()[:2].mean()
    assert abs(float(found.transition[2, 2] - right)) < 0.03
    # Off the diagonal a row that nothing is known of follows how often labels are given.
    share = (given == 0).double().mean()
    torch.testing.assert_close(
        found.transition[2, 0] / found.transition[2, :2].sum(), share, rtol=0, atol=1e-6
    )
    assert 0 < found.class_prior[2] < 0.02


def test_without_strength_there_is_no_prior() -> None:
    torch.manual_seed(1)
    p, given = torch.rand(40, 3).softmax(1), torch.randint(3, (40,))
    plain, tied = (noise_posterior(p, given, strength=s, max_steps=5) for s in (0.0, 1e-9))
    torch.testing.assert_close(plain.transition, tied.transition, rtol=0, atol=0.01)
    assert not torch.equal(
        plain.transition, noise_posterior(p, given, strength=20.0, max_steps=5).transition
    )
