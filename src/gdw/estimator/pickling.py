"""How a fitted `GDWClassifier` is pickled: the trained network as bytes without code."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from torch import nn

from gdw.estimator.form_encoder import FormEncoder
from gdw.estimator.network import build_network, network_from_bytes, network_to_bytes

_MODULE, _SAVED = "module_", "_saved_module"


class PickledNetwork(BaseEstimator):  # type: ignore[misc]
    """Pickles the attribute `module_` as its parameters and buffers, and builds it again."""

    classes_: NDArray[Any]
    module_: nn.Module
    _built_from: tuple[str, Any, Any]
    _encoder: FormEncoder

    def __getstate__(self) -> dict[str, Any]:
        saved: dict[str, Any] = dict(super().__getstate__())
        if _MODULE in saved:
            saved[_SAVED] = network_to_bytes(saved.pop(_MODULE))
        return saved

    def __setstate__(self, saved: dict[str, Any]) -> None:
        saved = dict(saved)
        trained = saved.pop(_SAVED, None)
        super().__setstate__(saved)
        if trained is not None:
            model, module, backbone = self._built_from
            self._encoder = self._encoder.with_backbone(backbone)
            network = build_network(
                model,
                module,
                encoder=self._encoder.encoder,
                backbone=self._encoder.backbone,
                num_classes=len(self.classes_),
                seed=0,
            )
            self.module_ = network_from_bytes(network, trained)
