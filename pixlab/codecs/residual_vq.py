"""`ResidualVQ`: `ClusterVQ` whose shapes are told in stages: a picture, then what is left."""

from __future__ import annotations

import param

from pixlab.codecs.cluster_vq import ClusterVQ, ClusterVQModel
from pixlab.codecs.residuals import MAX_CODES, Stages
from pixlab.codecs.shapes import ShapePlan

__all__ = ["ResidualVQ", "ResidualVQModel"]


class ResidualVQ(ClusterVQ):
    """Gain-shape vector quantisation of clusters with residual or product codebooks."""

    key = "residual-vq"

    codebook_size = param.Integer(
        default=256, bounds=(2, 65536), doc="number of pictures of clusters, the first stage"
    )
    stages = param.Integer(default=2, bounds=(2, 5), doc="number of stages, with the pictures")
    residual_size = param.Integer(
        default=128,
        bounds=(2, MAX_CODES),
        doc="number of codes of each further stage, for what is left of the barycentre",
    )
    product = param.Boolean(
        default=False, doc="one codebook for rows and one for columns in each further stage"
    )

    @property
    def model_type(self) -> type[ClusterVQModel]:
        """What fitting gives."""
        return ResidualVQModel

    @property
    def plan(self) -> ShapePlan:
        """How shapes are told."""
        stages = Stages(self.stages - 1, self.residual_size, self.product)
        return ShapePlan(True, stages, self.seed)


class ResidualVQModel(ClusterVQModel):
    """A fitted `ResidualVQ`."""

    codec: ResidualVQ
