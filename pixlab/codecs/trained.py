"""What codecs with trained networks share: knobs of the training, its arguments and its log."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
import param
from numpy.typing import NDArray

from pixlab.codecs.base import Model
from pixlab.codecs.blocks import first_events, repeatable
from pixlab.digis import Digis
from pixlab.errors import FormatError
from pixlab.progress import Progress

if TYPE_CHECKING:
    import pandas

    from pixlab.networks.training import Task

__all__ = ["LOG", "OnEpoch", "Streamed", "Trained", "TrainedModel", "Training"]

LOG = "training"  # name of the array

Array = NDArray[Any]
OnEpoch = Callable[[list[dict[str, float]]], object]


class Training(NamedTuple):
    """How a training runs, whatever is trained: arguments of ``fit``, see `Streamed.fit`."""

    progress: Progress | None = None
    checkpoint: Path | None = None
    device: str = "auto"
    on_epoch: OnEpoch | None = None


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
    learning_rate = param.Number(default=3e-3, bounds=(1e-6, 1.0), doc="of Adam, at the start")
    width = param.Integer(default=64, bounds=(4, 256), doc="hidden units of the network")
    seed = param.Integer(default=1, bounds=(0, None), doc="of all random numbers")

    def train(
        self, task: Task, data: Any, columns: tuple[str, ...], how: Training
    ) -> dict[str, Array]:
        """Train `task.network`; the array with the log, as a model keeps it.

        Parameters
        ----------
        task : Task
            What is trained on what.
        data
            What must be the same where a checkpoint is gone on from, beside the knobs.
        columns : tuple of str
            Of the log that is kept.
        how : Training
            Arguments of ``fit``.
        """
        from pixlab.networks.training import Plan, train

        checkpoint = None if how.checkpoint is None else Path(how.checkpoint)
        about = self.knobs() | {"data": data}  # type: ignore[attr-defined]
        plan = Plan(self.epochs, self.patience, self.learning_rate, self.seed, checkpoint, about)
        log = train(task, plan, how.progress, how.on_epoch)
        return {LOG: np.array([[row[k] for k in columns] for row in log], np.float32)}


class TrainedModel(Model):
    """A model that keeps the log of its training; goes before the codec's own model in a class."""

    log_columns: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(LOG)
        log = self.arrays[LOG]
        if log.ndim != 2 or log.shape[1:] != (len(self.log_columns),) or log.dtype != np.float32:
            raise FormatError("the training log of the model is damaged")

    @property
    def log(self) -> pandas.DataFrame:
        """How training went, a row an epoch: errors in squares of the spacing, bits a cluster."""
        import pandas

        return pandas.DataFrame(self.arrays[LOG], columns=list(self.log_columns))


Fitted = TypeVar("Fitted", bound=TrainedModel)


class Streamed(Trained, Generic[Fitted]):
    """A codec that trains on blocks of events, one after another; goes before the codec's own base."""

    def fit(
        self,
        digis: Digis | Iterable[Digis],
        *,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
        device: str = "auto",
        on_epoch: OnEpoch | None = None,
    ) -> Fitted:
        """Train the network, then learn what else it takes to write files.

        Parameters
        ----------
        digis : Digis or iterable of Digis
            Events; or blocks of events, which are gone through again in each epoch, so that they
            need not fit into memory. Then it must be possible to iterate several times.
        progress : callable, optional
            Told losses, perplexity and how far it is.
        checkpoint : Path, optional
            Written after each epoch. If it exists, training goes on from there.
        device : str
            ``auto``, ``cpu`` or ``cuda``.
        on_epoch : callable, optional
            Called with the log so far after each epoch, as `pixlab.plots.LiveTraining` is.

        Raises
        ------
        PixlabError
            If there is nothing to learn from, or the checkpoint is of another training.
        """
        blocks = repeatable(digis)
        how = Training(progress, checkpoint, device, on_epoch)
        return self.learn(first_events(blocks), blocks, how)

    @abstractmethod
    def learn(self, first: Digis, blocks: Iterable[Digis], how: Training) -> Fitted:
        """Train on blocks, and learn everything else from the first events."""
