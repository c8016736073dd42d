"""Name the torch functions of each activation, so that the executor can declare them without importing torch."""

from __future__ import annotations

ACTIVATIONS: dict[str, tuple[str, str]] = {
    "identity": ("identity", "didentity"),
    "sigmoid": ("sigmoid", "dsigmoid"),
    "tanh": ("torch.tanh", "dtanh"),
    "relu": ("relu", "step"),
    "leaky_relu": ("leaky_relu", "dleaky_relu"),
    "elu": ("elu", "delu"),
    "selu": ("selu", "dselu"),
    "celu": ("elu", "delu"),
    "softplus": ("softplus", "sigmoid"),
    "softsign": ("softsign", "dsoftsign"),
    "gelu": ("gelu", "dgelu"),
    "silu": ("silu", "dsilu"),
    "mish": ("mish", "dmish"),
    "hard_sigmoid": ("hard_sigmoid", "dhard_sigmoid"),
    "hard_tanh": ("hard_tanh", "dhard_tanh"),
    "arctan": ("torch.arctan", "darctan"),
    "erf": ("torch.erf", "derf"),
    "sin": ("torch.sin", "torch.cos"),
    "cos": ("torch.cos", "dcos"),
    "gaussian": ("gaussian", "dgaussian"),
    "step": ("step", "dflat"),
    "sign": ("sign", "dflat"),
    "abs": ("torch.abs", "sign"),
    "square": ("square", "dsquare"),
    "cube": ("cube", "dcube"),
    "exp": ("torch.exp", "torch.exp"),
    "log": ("torch.log", "dlog"),
    "sqrt": ("torch.sqrt", "dsqrt"),
    "reciprocal": ("torch.reciprocal", "dreciprocal"),
}
"""Activation → σ and σ': functions of `flowgrad_torch.activations`, or of torch where `torch.` stands in front."""
