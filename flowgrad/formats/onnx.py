"""ONNX models: read to neurons, one for each number that a tensor holds of a sample; written for inference."""

from __future__ import annotations

from flowgrad.format import Format
from flowgrad.formats._onnx.reader import read

entry = Format(
    name="onnx",
    suffixes=(".onnx",),
    summary="ONNX models: layers, convolutions and activations to neurons, and back for inference",
    read=read,
)
