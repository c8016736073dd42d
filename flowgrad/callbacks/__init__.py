"""Callbacks of a training: where its values are logged, a file each, named as the user names it.

`fit(..., callbacks=[callbacks.TensorBoard("runs/one")])` takes one with settings of your own, or any object with the
methods of `flowgrad.callback.Callback`.
"""

from flowgrad.callbacks.mlflow import MLflow
from flowgrad.callbacks.tensorboard import TensorBoard

__all__ = ["MLflow", "TensorBoard"]
