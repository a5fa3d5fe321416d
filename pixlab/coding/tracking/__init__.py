"""Hit maps coded with the tracks in mind: clusters of inner layers predict those of outer ones.

::

    alignment (fit) ──► planes ──► candidates ──► spots ─┐
                                       ▲                 ▼
                                       └── clusters ◄── places of roots (halving), growth

Everything after the alignment is arithmetic on integers, the same in both directions.
"""

from pixlab.coding.tracking.coder import TrackingCoder

__all__ = ["TrackingCoder"]
