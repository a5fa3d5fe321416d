"""pixlab: how small can simulated pixel digis become before the physics notices?

``read / simulate -> Digis -> Codec.fit -> Model.encode -> .pxl -> Model.decode -> compare``

Names are loaded when they are first used, so that ``import pixlab`` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# public name -> the module that defines it
_EXPORTS = {
    "Digis": "pixlab.digis",
    "Detector": "pixlab.detectors",
    "DETECTORS": "pixlab.detectors",
    "PixlabError": "pixlab.errors",
    "FormatError": "pixlab.errors",
    "UnknownModuleError": "pixlab.errors",
    "premix": "pixlab.premixing",
    "cluster": "pixlab.clusters",
    "CODECS": "pixlab.codecs",
    "Lossless": "pixlab.codecs",
    "ScalarQuantizer": "pixlab.codecs",
    "PatchVQ": "pixlab.codecs",
    "PatchVQVAE": "pixlab.codecs",
    "ClusterVQ": "pixlab.codecs",
    "ResidualVQ": "pixlab.codecs",
    "VQVAE": "pixlab.codecs",
    "Autoencoder": "pixlab.codecs",
    "PCA": "pixlab.codecs",
    "Zstd": "pixlab.codecs",
    "Lzma": "pixlab.codecs",
    "Blosc2": "pixlab.codecs",
    "Pcodec": "pixlab.codecs",
    "SZ3": "pixlab.codecs",
    "Root": "pixlab.codecs",
    "load_model": "pixlab.codecs",
    "read": "pixlab.io",
    "iterate": "pixlab.io",
    "write": "pixlab.io",
    "compress": "pixlab.io",
    "decompress": "pixlab.io",
    "simulate": "pixlab.simulation",
    "compare": "pixlab.physics",
    "Comparison": "pixlab.physics",
    "sweep": "pixlab.study",
    "find": "pixlab.study",
    "dashboard": "pixlab.dashboards",
    "explore": "pixlab.dashboards",
}
_ROOMS = ("samples",)

__all__ = ["__version__", *_EXPORTS, *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    if name in _ROOMS:
        return import_module(f"pixlab.{name}")
    raise AttributeError(f"module 'pixlab' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
