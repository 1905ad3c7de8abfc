"""Gold loss correction: forward correction for the given labels, plain training on the clean ones."""

from __future__ import annotations

from gdw.reweight.forward_correction import ForwardCorrection


class GLC(ForwardCorrection):
    """Gold loss correction (Hendrycks et al., NeurIPS 2018, arXiv 1802.05300, algorithm 1).

    A plain model of the given labels is fitted first; its mean prediction on the clean examples of each
    class is the noise matrix. Then training on both sets joined: the corrected loss for given labels, the
    cross-entropy for clean ones. In a loop of one's own `indices` tell the two apart.
    """

    joins_clean = True
