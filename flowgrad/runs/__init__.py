"""Run folders, which hold a training's files and are updated while it runs; `load_model` reads one.

network.json, and its weights beside it     the trained network for `flowgrad.load`: it takes the raw columns
trained.safetensors     where columns were scaled, the network as it was trained, to inspect and to go on with
model.json      columns, classes, scaling and loss: the parts of a model besides its network
metrics.csv     one row an epoch
summary.json    the figures on the test samples, why training ended, versions
loss.png        training and validation loss (where matplotlib is installed)
config.toml     the resolved configuration
start.*         the network as it was before training, where the configuration has one from a file
"""

from flowgrad.runs.models import load_model

__all__ = ["load_model"]
