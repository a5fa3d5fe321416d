"""The training loop: epochs, early stopping, checkpoints that survive a kill, a log.

A checkpoint is one safetensors file, written anew after every epoch under a temporary name: weights,
the best weights so far, the state of the optimiser and of the random numbers. Training that finds
it goes on after the last whole epoch and ends at the same weights as if it had never stopped.
"""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from pixlab.errors import FormatError, PixlabError
from pixlab.progress import Progress, tell

__all__ = [
    "BATCH",
    "Plan",
    "Task",
    "device_of",
    "held_out_batches",
    "one_thread",
    "seeded",
    "train",
]
__all__ += ["training_batches", "use_of"]

BATCH = 2048  # examples
_MOST_GRADIENT = 5.0


class Plan(NamedTuple):
    """How to train.

    ``epochs``: at most so many; ``patience``: epochs without a better held-out loss, after which it
    ends; ``rate``: of learning, at the start; ``seed``: of all random numbers; ``checkpoint``: file
    to write after each epoch, and to go on from if it exists; ``about``: what must be the same
    for that.
    """

    epochs: int
    patience: int
    rate: float
    seed: int
    checkpoint: Path | None
    about: dict[str, Any]


class Task(ABC):
    """What is trained on what."""

    network: nn.Module

    @abstractmethod
    def batches(self, generator: torch.Generator) -> Iterator[Any]:
        """All batches of an epoch, shuffled."""

    @abstractmethod
    def held_out(self) -> Iterator[Any]:
        """Batches that are never trained on."""

    @abstractmethod
    def loss(self, batch: Any, epoch: int) -> tuple[Tensor, dict[str, float], int]:
        """The mean loss of a batch, sums of what it consists of, and how many they are over."""

    def learned(self, generator: torch.Generator) -> None:
        """Called after each step, for what gradients do not change."""
        return

    def summary(self, epoch: int) -> dict[str, float]:
        """What the log has of an epoch besides the losses; called after `held_out` was gone through."""
        return {}

    def counts_from(self, epochs: int) -> int:
        """The first epoch whose weights may be the result."""
        return 0


def training_batches(n: int, one_of: int, generator: torch.Generator) -> list[NDArray[np.int64]]:
    """Batches of `n` examples, shuffled, without those held out unless there are hardly any."""
    own = np.flatnonzero(np.arange(n) % one_of) if n > one_of else np.arange(n)
    return _cut(own[torch.randperm(len(own), generator=generator).numpy()])


def held_out_batches(n: int, one_of: int) -> list[NDArray[np.int64]]:
    """Batches of one of so many of `n` examples."""
    return _cut(np.arange(0, n, one_of))


def _cut(order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [order[begin : begin + BATCH] for begin in range(0, len(order), BATCH)]


def use_of(counts: Tensor) -> dict[str, float]:
    """Perplexity of codes that were chosen so often, and the share of them in use."""
    p = counts / counts.sum().clamp(min=1)
    entropy = -(p * torch.log(p.clamp(min=1e-12))).sum()
    return {"perplexity": float(entropy.exp()), "usage": float((p > 0).float().mean())}


def device_of(name: str) -> torch.device:
    """The device called `name`; ``auto`` is a GPU where there is one.

    Raises
    ------
    PixlabError
        If it is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise PixlabError("there is no GPU that torch can use", "train with device='cpu'")
    return torch.device(name)


def train(
    task: Task,
    plan: Plan,
    progress: Progress | None = None,
    on_epoch: Callable[[list[dict[str, float]]], object] | None = None,
) -> list[dict[str, float]]:
    """Train `task.network` and leave the best weights in it.

    Returns
    -------
    list of dict
        A row for each epoch: its number, losses on training and held-out data, seconds.

    Raises
    ------
    PixlabError
        If the checkpoint is of another training.
    FormatError
        If it is damaged.
    """
    network = task.network
    optimiser = torch.optim.Adam(network.parameters(), lr=plan.rate)
    generator = torch.Generator().manual_seed(plan.seed)
    log: list[dict[str, float]] = []
    best = _copy(network)
    if plan.checkpoint is not None and plan.checkpoint.exists():
        best, log = _restore(plan, network, optimiser, generator)
    with one_thread():
        for epoch in range(len(log), plan.epochs):
            if _stalled(log, plan.patience):
                break
            start = time.perf_counter()
            for group in optimiser.param_groups:  # falls like a cosine
                group["lr"] = plan.rate * (0.52 + 0.48 * _cosine(epoch / plan.epochs))
            network.train()
            row = {"epoch": float(epoch + 1)}
            row |= _epoch(task, epoch, optimiser, generator)
            network.eval()
            with torch.no_grad():
                held = _means([task.loss(batch, epoch)[1:] for batch in task.held_out()])
            row |= {f"held_out_{k}": v for k, v in held.items()} | task.summary(epoch)
            row["counts"] = float(epoch >= task.counts_from(plan.epochs))
            row["seconds"] = time.perf_counter() - start
            before = [r["held_out_loss"] for r in log if r["counts"] == row["counts"]]
            if not before or row["held_out_loss"] < min(before):
                best = _copy(network)
            log.append(row)
            if plan.checkpoint is not None:
                _save(plan, network, optimiser, generator, best, log)
            if on_epoch is not None:
                on_epoch(log)
            tell(progress, (epoch + 1) / plan.epochs, _words(row, plan.epochs))
    network.load_state_dict(best)
    network.eval()
    return log


def _cosine(share: float) -> float:
    return float(torch.cos(torch.tensor(share * torch.pi)))


def _stalled(log: list[dict[str, float]], patience: int) -> bool:
    """Whether the last epochs brought nothing."""
    losses = [row["held_out_loss"] for row in log if row["counts"]]
    return len(losses) > patience and min(losses[-patience:]) >= min(losses[:-patience])


def _epoch(
    task: Task, epoch: int, optimiser: torch.optim.Optimizer, generator: torch.Generator
) -> dict[str, float]:
    found = []
    for batch in task.batches(generator):
        optimiser.zero_grad(set_to_none=True)
        loss, parts, n = task.loss(batch, epoch)
        loss.backward()
        nn.utils.clip_grad_norm_(task.network.parameters(), _MOST_GRADIENT)
        optimiser.step()
        task.learned(generator)
        found.append((parts, n))
    return _means(found)


def _means(found: list[tuple[dict[str, float], int]]) -> dict[str, float]:
    n = max(sum(count for _, count in found), 1)
    names = dict.fromkeys(name for parts, _ in found for name in parts)
    means = {name: sum(parts[name] for parts, _ in found) / n for name in names}
    return means or {"loss": 0.0}


def _words(row: dict[str, float], epochs: int) -> str:
    shown = {k: v for k, v in row.items() if k not in ("epoch", "counts", "seconds", "loss")}
    words = [f"{k.removeprefix('held_out_')} {v:.3g}" for k, v in shown.items() if "held" in k]
    words += [f"perplexity {row['perplexity']:.0f}"] if "perplexity" in row else []
    return f"epoch {row['epoch']:.0f} of {epochs}: " + ", ".join(words)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of torch from this seed, those of others undisturbed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order, so that the same seed gives the same weights on any number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):  # those of scikit-learn
            yield
    finally:
        torch.set_num_threads(before)


# -- checkpoints ------------------------------------------------------------------------------
def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in network.state_dict().items()}


def _save(
    plan: Plan,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    best: dict[str, Tensor],
    log: list[dict[str, float]],
) -> None:
    from safetensors.torch import save

    assert plan.checkpoint is not None
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    tensors["random"] = generator.get_state()
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{k}": v for k, v in state.items()}
    data = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    about = json.dumps({"about": plan.about, "log": log})
    temporary = plan.checkpoint.with_name(f".{plan.checkpoint.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(save(data, metadata={"pixlab-training": about}))
        os.replace(temporary, plan.checkpoint)
    except OSError as error:
        raise PixlabError(f"cannot write {plan.checkpoint}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _restore(
    plan: Plan,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Take everything from a checkpoint; its best weights and its log."""
    from safetensors import SafetensorError, safe_open

    where = plan.checkpoint
    try:
        with safe_open(str(where), framework="pt") as file:
            about = json.loads((file.metadata() or {})["pixlab-training"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        known, log = about["about"], about["log"]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{where} is no checkpoint of a training, or it is damaged", "remove it to start anew"
        ) from error
    if known != json.loads(json.dumps(plan.about)):
        raise PixlabError(
            f"{where} is the checkpoint of a training with other settings or data",
            "remove it to start anew, or name another checkpoint",
        )
    try:
        network.load_state_dict(_part(tensors, "network."))
        adam: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(tensors, "adam.").items():
            number, key = name.split(".", 1)
            adam.setdefault(int(number), {})[key] = value
        state = optimiser.state_dict()
        optimiser.load_state_dict({**state, "state": adam})
        generator.set_state(tensors["random"])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise FormatError(f"{where} is damaged", "remove it to start anew") from error
    device = next(network.parameters()).device
    return {k: v.to(device) for k, v in _part(tensors, "best.").items()}, log


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
