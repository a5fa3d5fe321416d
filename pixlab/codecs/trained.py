"""What codecs with trained networks share: knobs of the training, its arguments and its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import param
from numpy.typing import NDArray

from pixlab.codecs.base import Model
from pixlab.errors import FormatError

if TYPE_CHECKING:
    import pandas

__all__ = ["LOG", "Trained", "TrainedModel", "log_array"]

LOG = "training"  # name of the array

Array = NDArray[Any]


class Trained(param.Parameterized):
    """Knobs of a training.

    ``fit`` of such a codec also takes ``checkpoint`` (a file that is written after each epoch, and
    gone on from if it exists), ``device`` (``auto``, ``cpu`` or ``cuda``) and ``on_epoch`` (called with
    the log so far, a list of one dict an epoch).
    """

    epochs = param.Integer(default=40, bounds=(1, 10_000), doc="passes over the data, at most")
    patience = param.Integer(
        default=6, bounds=(1, 10_000), doc="epochs without a better held-out loss that end training"
    )
    learning_rate = param.Number(default=1e-2, bounds=(1e-6, 1.0), doc="of Adam, at the start")

    def plan_of(self, seed: int, checkpoint: Path | None, about: Mapping[str, Any]) -> Any:
        """The `pixlab.networks.training.Plan` of these knobs."""
        from pixlab.networks.training import Plan

        checkpoint = None if checkpoint is None else Path(checkpoint)
        return Plan(self.epochs, self.patience, self.learning_rate, seed, checkpoint, dict(about))


def log_array(log: Sequence[Mapping[str, float]], columns: tuple[str, ...]) -> NDArray[np.float32]:
    """The log of a training as a model keeps it."""
    return np.array([[row[k] for k in columns] for row in log], np.float32)


class TrainedModel(Model):
    """A model that keeps the log of its training."""

    log_columns: ClassVar[tuple[str, ...]] = ()

    def check_log(self) -> None:
        """Raise an error if the log is damaged.

        Raises
        ------
        FormatError
            If it is.
        """
        log = self.arrays[LOG]
        if log.ndim != 2 or log.shape[1:] != (len(self.log_columns),) or log.dtype != np.float32:
            raise FormatError("the training log of the model is damaged")

    @property
    def log(self) -> pandas.DataFrame:
        """How training went, a row an epoch: errors in squares of the spacing, bits a cluster."""
        import pandas

        return pandas.DataFrame(self.arrays[LOG], columns=list(self.log_columns))
