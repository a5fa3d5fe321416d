"""How well the codes of a codebook are used: usage, perplexity, dead codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CodeUsage"]


@dataclass(frozen=True, eq=False)
class CodeUsage:
    """How often each code of a codebook was chosen.

    Parameters
    ----------
    name : str
        Of the codebook: the section that its codes are in.
    counts : int64[codes]
        How often each was chosen.
    escaped : int
        Vectors that no code was good enough for, and that were coded as they are.
    pictures : float64[codes, rows, cols], optional
        What each code looks like, as weights or counts; NaN where a pixel is not hit.
    """

    name: str
    counts: NDArray[np.int64]
    escaped: int = 0
    pictures: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def dead(self) -> int:
        """Codes that were never chosen."""
        return int((self.counts == 0).sum())

    @property
    def entropy(self) -> float:
        """Bits a code if each is coded by its frequency alone; 0 without a choice."""
        share = self.counts[self.counts > 0] / max(self.counts.sum(), 1)
        return float(-(share * np.log2(share)).sum())

    @property
    def perplexity(self) -> float:
        """Two to the entropy: so many equally common codes would say as much; 0 without a choice."""
        return float(2**self.entropy) if self.counts.any() else 0.0

    @property
    def escape_fraction(self) -> float:
        """Share of the vectors that were coded as they are."""
        total = int(self.counts.sum()) + self.escaped
        return self.escaped / total if total else 0.0

    def facts(self) -> dict[str, Any]:
        """All of it in one row of a table."""
        return {
            "codebook": self.name,
            "codes": len(self),
            "dead": self.dead,
            "perplexity": self.perplexity,
            "escape_fraction": self.escape_fraction,
        }

    def __repr__(self) -> str:
        return (
            f"<CodeUsage {self.name}: {len(self)} codes, {self.dead} dead, "
            f"perplexity {self.perplexity:.1f}, {self.escape_fraction:.2%} escaped>"
        )
