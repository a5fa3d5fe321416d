"""From clusters to `Totals`: match and count."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.clusters import Clusters
from pixlab.physics.groups import PARTS, event_keys, groups, part_of
from pixlab.physics.matching import match, pixel_pairs
from pixlab.physics.pairs import confusion, count_pairs, pairs_of
from pixlab.physics.spectra import AXES, bins_of
from pixlab.physics.totals import SUMS, Totals, fixed, merged

__all__ = ["measure"]


def measure(before: Clusters, after: Clusters) -> Totals:
    """Compare the clusters of two samples of the same events, original first, all at once."""
    original, decoded = before.digis, after.digis
    detector = original.detector
    layers = len(detector.layers)
    keys = event_keys(original)
    at_a, at_b = pixel_pairs(original, decoded)
    matches = match(before, after, (at_a, at_b))
    pairs = pairs_of(before, after, matches)

    def place(frame_event: NDArray, frame_module: NDArray) -> NDArray[np.int64]:
        """Part and layer as one number."""
        part = part_of(detector, keys, frame_event, frame_module)
        return part * layers + detector.layer[frame_module]

    sums: dict[str, NDArray[Any]] = {}

    def add(name: str, where: NDArray[np.int64], values: NDArray | float = 1.0) -> None:
        values = np.broadcast_to(values, where.shape)
        sums[name] = fixed(name, values, where, PARTS * layers).reshape(PARTS, layers)

    of_frame = [place(d.frames.event, d.frames.module) for d in (original, decoded)]
    of_digi = [
        np.repeat(f, np.diff(d.frames.offsets))
        for f, d in zip(of_frame, (original, decoded), strict=True)
    ]
    of_cluster = [f[c.frame] for f, c in zip(of_frame, (before, after), strict=True)]
    add("digis_original", of_digi[0])
    add("digis_decoded", of_digi[1])
    add("common", of_digi[0][at_a])
    step = decoded.adc[at_b].astype(float) - original.adc[at_a]
    add("adc", of_digi[0][at_a], step)
    add("adc2", of_digi[0][at_a], step**2)
    add("clusters_original", of_cluster[0])
    add("clusters_decoded", of_cluster[1])
    add("charge_original", of_cluster[0], before.charge)
    add("charge_decoded", of_cluster[1], after.charge)
    add("split", of_cluster[0][matches.fragments > 1])
    add("merged", of_cluster[1][matches.sources > 1])
    matched = of_cluster[0][matches.original]
    add("matched", matched)
    add("same_size", matched[(pairs.sizes[0] == pairs.sizes[1]).all(axis=0)])
    for name, values in (("response", pairs.response), ("row", pairs.row), ("col", pairs.col)):
        add(name, matched, values)
        add(f"{name}2", matched, values**2)

    layered = groups(detector)
    counts, halves, parts = {}, {}, {}
    for name, axis in AXES.items():
        edges = axis.edges(detector)
        full = []
        for digis, clusters in ((original, before), (decoded, after)):
            entries = axis.values(digis, clusters, layered)
            where = place(entries.event, entries.module) * (len(edges) + 1)
            where += bins_of(edges, entries.value)
            filled = np.bincount(where, minlength=PARTS * layers * (len(edges) + 1))
            full.append(filled.reshape(PARTS, layers, -1))
        counts[name] = np.stack([side.sum(axis=0) for side in full])
        halves[name] = full[0][::2].sum(axis=0)
        parts[name] = np.stack([merged(side, axis.merge) for side in full])
    assert sums.keys() == SUMS.keys()
    return Totals(
        detector,
        len(original),
        sums,
        counts,
        halves,
        parts,
        count_pairs(pairs, detector),
        confusion(pairs, detector),
        np.stack([np.bincount(d.module, minlength=len(detector)) for d in (original, decoded)]),
    )
