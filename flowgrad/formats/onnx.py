"""Read ONNX models, with one neuron for each number that a tensor holds per sample, and write them for inference."""

from __future__ import annotations

from base64 import b64decode

from flowgrad.format import Format
from flowgrad.formats._onnx.reader import read
from flowgrad.formats._onnx.writer import write

EXAMPLE = b64decode(  # y = relu(x W + b) V: Gemm, Relu and MatMul, two inputs, one output
    "CAgSADqnAQoSCgF4CgFXCgFiEgF6IgRHZW1tCgwKAXoSAWEiBFJlbHUKEQoBYQoBVhIBeSIGTWF0TXVsEgFnKhsIAggCEAFCAVdK"
    "EAAAgD8AAAC/AAAAPwAAAEAqEQgCEAFCAWJKCAAAgD4AAIC/KhMIAggBEAFCAVZKCAAAgD8AAADAWhMKAXgSDgoMCAESCAoCCAEK"
    "AggCYhMKAXkSDgoMCAESCAoCCAEKAggBQgQKABAN"
)

entry = Format(
    name="onnx",
    suffixes=(".onnx",),
    summary="ONNX models: layers, convolutions and activations to neurons, and back for inference",
    packs=False,
    read=read,
    write=write,
    keeps="outputs",
    example=EXAMPLE,
)
