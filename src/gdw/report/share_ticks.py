"""The places of the numbers along an axis of shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import AutoLocator


class ShareTicks(AutoLocator):
    """Ticks at round shares, and none above 1, where an axis may have room for notes."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """The places of the ticks of an axis from `vmin` to `vmax`, none above 1."""
        places = np.asarray(super().tick_values(vmin, vmax))
        return places[places < 1 + 1e-9]
