"""Entropy coding: an integer range coder, context models of the hit map and of values, the container.

``Digis`` never appear here: the kernels see plain arrays, a `Layout` of the detector, and
`Probabilities`; a codec brings the three together.
"""
