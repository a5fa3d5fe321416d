"""Codecs by name, and reading a saved model back; `base` has the contract."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

from pixlab.codecs.autoencoder import Autoencoder, AutoencoderModel, LatentModel
from pixlab.codecs.base import Chunk, Codec, Model, Stream
from pixlab.codecs.cluster_vq import ClusterVQ, ClusterVQModel
from pixlab.codecs.foreign import Blosc2, Foreign, ForeignModel, Lzma, Pcodec, Zstd
from pixlab.codecs.foreign_baler import Baler, BalerModel
from pixlab.codecs.foreign_root import Root, RootModel
from pixlab.codecs.foreign_sz3 import SZ3, SZ3Model
from pixlab.codecs.lossless import Lossless, LosslessModel
from pixlab.codecs.patch_vq import PatchVQ, PatchVQModel
from pixlab.codecs.patch_vqvae import PatchVQVAE, PatchVQVAEModel
from pixlab.codecs.pca import PCA
from pixlab.codecs.pretrained import path as pretrained_path
from pixlab.codecs.pretrained import pretrained
from pixlab.codecs.residual_vq import ResidualVQ, ResidualVQModel
from pixlab.codecs.scalar import ScalarModel, ScalarQuantizer
from pixlab.codecs.usage import CodeUsage
from pixlab.codecs.vqvae import VQVAE, VQVAEModel
from pixlab.detectors import Detector
from pixlab.errors import FormatError, PixlabError

__all__ = ["CODECS", "Chunk", "ClusterVQ", "CodeUsage", "Codec", "Lossless", "Model", "PatchVQ"]
__all__ += [
    "PCA",
    "SZ3",
    "VQVAE",
    "Autoencoder",
    "Blosc2",
    "Foreign",
    "Lzma",
    "PatchVQVAE",
    "Pcodec",
    "ResidualVQ",
    "Root",
    "ScalarQuantizer",
    "Stream",
    "Zstd",
]
__all__ += ["load_model", "make_codec", "model_from_bytes", "unpack_model"]

# name -> (knobs, model)
_MODELS: dict[str, tuple[type[Codec], type[Model]]] = {
    Lossless.key: (Lossless, LosslessModel),
    ScalarQuantizer.key: (ScalarQuantizer, ScalarModel),
    PatchVQ.key: (PatchVQ, PatchVQModel),
    ClusterVQ.key: (ClusterVQ, ClusterVQModel),
    ResidualVQ.key: (ResidualVQ, ResidualVQModel),
    VQVAE.key: (VQVAE, VQVAEModel),
    PatchVQVAE.key: (PatchVQVAE, PatchVQVAEModel),
    Autoencoder.key: (Autoencoder, AutoencoderModel),
    PCA.key: (PCA, LatentModel),
    Zstd.key: (Zstd, ForeignModel),
    Lzma.key: (Lzma, ForeignModel),
    Blosc2.key: (Blosc2, ForeignModel),
    Pcodec.key: (Pcodec, ForeignModel),
    SZ3.key: (SZ3, SZ3Model),
    Root.key: (Root, RootModel),
    Baler.key: (Baler, BalerModel),
}
CODECS: dict[str, type[Codec]] = {key: codec for key, (codec, _) in _MODELS.items()}
_MAX_MODEL = 1 << 28  # bytes of an unpacked model


def make_codec(name: str, **knobs: object) -> Codec:
    """The codec called `name` with these settings.

    Raises
    ------
    PixlabError
        If there is no such codec or knob, or a value is out of bounds.
    """
    if name not in CODECS:
        raise PixlabError(f"no codec is called '{name}'", f"choose one of {', '.join(CODECS)}")
    known = set(CODECS[name].param) - {"name"}
    for knob in knobs:
        if knob not in known:
            raise PixlabError(
                f"codec '{name}' has no knob '{knob}'",
                f"it has {', '.join(sorted(known)) or 'none'}",
            )
    try:
        return CODECS[name](**knobs)
    except (TypeError, ValueError) as error:
        raise PixlabError(f"codec '{name}': {error}") from error


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model that `Model.save` wrote, or one that comes with pixlab.

    Parameters
    ----------
    path : path
        A file, or a name of `pixlab.codecs.pretrained`, as ``phase1-vqvae-1024``; a file of that
        name goes first.

    Raises
    ------
    PixlabError
        If the file cannot be read.
    FormatError
        If it is damaged or no model.
    """
    path = Path(path)
    if not path.exists():
        path = pretrained_path(str(path)) or path
    try:
        if path.stat().st_size > _MAX_MODEL:
            raise FormatError(f"{path} is too large for a model")
        data = path.read_bytes()
    except OSError as error:
        names = ", ".join(pretrained())
        raise PixlabError(
            f"cannot read {path}: {error.strerror}", f"check the path; models by name are {names}"
        ) from error
    return unpack_model(data, str(path))


def model_from_bytes(data: bytes, where: str = "the model") -> Model:
    """Read what `Model.to_bytes` gave.

    Raises
    ------
    FormatError
        If the bytes are damaged.
    """
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(data, _MAX_MODEL)
    except zlib.error as error:
        raise FormatError(f"{where} is damaged") from error
    if not inflate.eof:
        raise FormatError(f"{where} is damaged or too large")
    return unpack_model(raw, where)


def unpack_model(data: bytes, where: str = "the model") -> Model:
    """Read what `Model.packed` gave, the content of a model file.

    Raises
    ------
    FormatError
        If the bytes are damaged, or of a codec that is not known here.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        size = int.from_bytes(data[:8], "little")
        about = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["pixlab"])
        key, knobs, detector = about["codec"], about["knobs"], about["detector"]
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(f"{where} is no pixlab model, or it is damaged") from error
    if key not in _MODELS or not isinstance(knobs, dict):
        raise FormatError(
            f"{where} needs codec '{str(key)[:40]}', which this version of pixlab does not have",
            "update pixlab",
        )
    try:
        codec = make_codec(key, **knobs)
    except PixlabError as error:
        raise FormatError(f"{where} is damaged: {error.cause}") from error
    return _MODELS[key][1](codec, Detector.from_json(detector), arrays)
