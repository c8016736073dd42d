"""Model: a network with the names, scaling, classes and loss of its data; predicts from raw data, saves and loads."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad import batch, scaling
from flowgrad.arguments import instance, repeated
from flowgrad.atomic import flush_folder, path_of, put, refused
from flowgrad.columns import Columns
from flowgrad.errors import ConfigError, DataError, FileError, FlowgradError, GraphError, ShapeError, brief, show
from flowgrad.formats._values import decode, encode
from flowgrad.formats.fgm import scalings, write_model
from flowgrad.maths.losses import Loss, identity
from flowgrad.network import Network
from flowgrad.program import Program, compile
from flowgrad.registry import find, names
from flowgrad.scaling import Scaling

Floats = npt.NDArray[np.float64]
Class = str | int | float | bool


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A network together with the column names, scaling, classes and loss of its data; it predicts from raw data.

    The arguments are attributes too, after their defaults have been filled in.

    Args:
        network: a network that takes the columns of `inputs`, scaled by `scaling`.
        inputs: names of the columns of X, texts, in the order of the network's inputs. Default: the ids of the inputs;
            the repr of an id that is no text.
        targets: names of the columns that the outputs predict, in the order of the outputs. Default: the ids of the
            outputs, as for `inputs`; () if there are classes, which exclude targets.
        label: name of the column of class labels, allowed if there are classes. Default: "class".
        classes: class labels (text, numbers or truth values) for a classifier: output k is the logit of `classes[k]`.
            A network with a single output needs two classes, and the output is the logit of `classes[1]`.
        scaling: scaling of the inputs. Default: the network takes unscaled inputs.
        target_scaling: scaling of the targets, if the network predicts scaled targets. Default: it does not.
        loss: a name (`flowgrad list losses`) or a `Loss`: the loss of the training, whose link maps outputs to
            predictions. Default: None (no training); with classes, cross_entropy, or binary_cross_entropy if there is
            a single output.
        ignore: names of columns of the data that the network does not use. By default, the command line reports an
            error for any other column that it does not know.

    Raises:
        ShapeError: the number of columns, classes or scaled columns differs from the number of inputs or outputs.
        ConfigError: two columns or two classes have the same name; a label is given without classes, or targets with
            them; the outputs under this loss are no logits of classes, or no values that can be scaled.
        UnknownNameError: no loss has this name.
        DataError: an argument is of the wrong type.
        GraphError: two nodes have the same default column name, or the network is not valid.

    >>> net = Network.from_arrays([0], [1], weight=[2.0], activation="identity")
    >>> model = Model(net, inputs=("dose",), targets=("response",), scaling=Scaling([10.0], [5.0]))
    >>> model.predict({"dose": [10.0, 20.0], "patient": ["a", "b"]}).tolist()
    [[0.0], [4.0]]
    """

    network: Network
    inputs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    label: str | None = None
    classes: tuple[Class, ...] = ()
    scaling: Scaling | None = None
    target_scaling: Scaling | None = None
    loss: str | Loss | None = None
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        network = instance("Model", self.network, Network)
        classes = _classes(self.classes)
        inputs, targets, ignore = (_columns(name, getattr(self, name)) for name in ("inputs", "targets", "ignore"))
        values = {
            "inputs": inputs or _called(network.inputs),
            "targets": targets or (() if classes else _called(network.outputs)),
            "ignore": ignore,
            "classes": classes,
            "label": "class" if classes and self.label is None else self.label,
            "loss": _loss(self.loss, classes, len(network.outputs)),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        _check(self)

    # ---- predicting -----------------------------------------------------------------------------------------

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Predict the class of each sample, or the values of the targets, from unscaled samples.

        Values are on the scale of the data, and the loss determines their meaning: probabilities under
        binary_cross_entropy and cross_entropy, means e^y under poisson, gamma and negative_binomial, log hazards under
        cox; the link of a loss of your own; otherwise the outputs themselves.

        Args:
            X: a data frame or a mapping with a column for each name in `inputs`; further columns are ignored. Or an
                array (B, I) with its columns in that order.

        Returns:
            With classes, the most probable class of each sample, (B,), of the type of the classes (dtype object if
            they have several types); otherwise values (B, targets) float64.

        Raises:
            UnknownNameError: a column is missing; the message gives the nearest name.
            ShapeError: an array is not (B, I), or columns have unequal lengths.
            DataError: there are no samples; a column is not numeric, contains NaN or infinite values, or occurs twice.
        """
        y = self.outputs(X)
        if self.classes:
            found: npt.NDArray[Any] = _array(self.classes)[probabilities(self.record, y).argmax(axis=1)]
            return found
        return predicted(self, y)

    def predict_proba(self, X: Any) -> Floats:
        """Compute the probability of each class, (B, classes) float64, in the order of `classes`.

        Args:
            X: unscaled samples, as for `predict`.

        Raises:
            ConfigError: the model has no classes.
            UnknownNameError, ShapeError, DataError: as for `predict`.
        """
        if not self.classes:
            raise ConfigError("predict_proba needs classes, and this model has targets: predict gives their values")
        return probabilities(self.record, self.outputs(X))

    def outputs(self, X: Any) -> Floats:
        """Compute the outputs of the network, (B, O) float64: logits, log means, or targets on the network's scale.

        Args:
            X: unscaled samples, as for `predict`.

        Raises:
            UnknownNameError, ShapeError, DataError: as for `predict`.
        """
        return np.asarray(self._program().predict(self.scaled(self.samples(X))), np.float64)

    def samples(self, X: Any) -> Floats:
        """Convert samples to an unscaled array (B, I) float64, with the columns in the order of `inputs`.

        Args:
            X: unscaled samples, as for `predict`.

        Raises:
            UnknownNameError, ShapeError, DataError: as for `predict`.
        """
        given = batch.by_name(X)
        wanted: tuple[Hashable, ...] = self.inputs
        if given is not None:  # a column name that is no text matches its repr: 0 for '0'
            called = {column_name(name): name for name in given}
            wanted = tuple(called.get(name, name) for name in self.inputs)
        found = batch.table(X, wanted, "X", "input", np.dtype(np.float64), surplus=True)
        finite = np.isfinite(found)
        if not finite.all():
            row, k = np.argwhere(~finite)[0].tolist()
            raise DataError(f"X[{row}], column {brief(self.inputs[k])}: {found[row, k]} is not finite")
        return found

    def scaled(self, X: Any) -> Any:
        """Scale an array of unscaled columns (B, I) for `network`; return X itself if the model has no scaling.

        Raises:
            ShapeError, DataError: X has another number of columns, or is not numeric.
        """
        return X if self.scaling is None else self.scaling(X)

    @property
    def record(self) -> Loss:
        """The loss as a `Loss` record; the squared error if `loss` is None."""
        if isinstance(self.loss, Loss):
            return self.loss
        found: Loss = find("losses", self.loss or "squared_error")
        return found

    def _program(self) -> Program:
        """Return the compiled network; it is compiled again only after the network has changed."""
        columns, known = self.network.columns, self._compiled
        if not known or known[0][0] is not columns:
            known[:] = [(columns, compile(self.network))]
        return known[0][1]

    @cached_property
    def _compiled(self) -> list[tuple[Columns, Program]]:
        """Cache of `_program`: the columns last compiled and their program, as the only entry; [] at first."""
        return []

    # ---- handing on -----------------------------------------------------------------------------------------

    def folded(self) -> Network:
        """Return an equivalent network that takes unscaled inputs: its weights and biases include the scaling.

        Its outputs are those of `network` (logits, log means), or, with `target_scaling`, targets on the scale of the
        data. Without scaling it is `network` itself. Where a weight or bias cannot include the scaling, for example
        one that is shared or not trainable, the result has additional neurons.

        Raises:
            GraphError: a weight or bias overflows.
        """
        return scaling.folded(self.network, self.scaling, self.target_scaling)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file, `.fgm`, which `flowgrad.load_model` and the command line read.

        The file is written atomically: a call that fails leaves an earlier file as it was. The file contains its own
        SHA-256 checksum, and no code.

        Args:
            path: name of the file, with the suffix `.fgm`. `flowgrad.save(model, path)` writes other formats.

        Raises:
            ConfigError: the path has another suffix, or the loss is a `Loss` of your own, which files cannot store.
            DataError: the path is neither text nor a path object.
            FileError: the file cannot be written.
            GraphError: the network contains something that a file cannot keep; the message names it.
            MissingDependencyError: the library `safetensors` is not installed.
        """
        target = path_of(path)
        if target.suffix.lower() != ".fgm":
            raise ConfigError(
                f"a model is saved as .fgm, and not as {brief(target.name)}: fg.save(model, path) writes its network "
                "in other formats"
            )
        files = write_model(self.network, about_of(self), target)
        with refused(target):
            put(target, [files[target.name]])
            flush_folder(target.parent)

    def __reduce__(self) -> tuple[type[Model], tuple[Any, ...]]:
        return Model, tuple(getattr(self, field.name) for field in fields(self))

    def __repr__(self) -> str:
        answers = f"{self.label}: {_cut(self.classes)}" if self.classes else _cut(self.targets)
        loss = self.record.name if self.loss is not None else "no loss"
        scaled = [name for name in ("scaling", "target_scaling") if getattr(self, name) is not None]
        with_scaling = f", with {' and '.join(scaled)}" if scaled else ""
        return f"Model({_cut(self.inputs)} → {answers}; {loss}{with_scaling}; {self.network!r})"


def probabilities(loss: Loss, y: Floats) -> Floats:
    """Compute class probabilities (B, classes) from logits: one per output, or a single logit for two classes."""
    if y.shape[1] > 1:
        return np.asarray(loss.link(y), np.float64)
    return np.concatenate([loss.link(-y), loss.link(y)], axis=1)  # 1 − p would lose a small 1 − p to cancellation


def predicted(model: Model, y: Floats) -> Floats:
    """Map outputs y (B, O) to predictions by the loss's link, on the scale of the raw targets: (B, targets)."""
    found: Floats = y if model.loss is None else np.asarray(model.record.link(y), np.float64)
    return found if model.target_scaling is None else model.target_scaling.back(found)


def column_name(node: Hashable) -> str:
    """Return the column name of a node: a text id itself, the repr of any other id (`0`, `('a', 1)`)."""
    return node if isinstance(node, str) else repr(node)


def column_names(nodes: Sequence[Hashable]) -> tuple[str, ...]:
    """Return the column names of several nodes.

    Raises:
        GraphError: two nodes would have the same name, such as 1 and '1'.
    """
    found = tuple(map(column_name, nodes))
    twice = repeated(found)
    if twice is not None:
        raise GraphError(f"two nodes are called {show(twice)} in a table: relabel one of them")
    return found


def _called(nodes: Sequence[Hashable]) -> tuple[str, ...]:
    """Make default column names: as `column_names`, but the repr of every id if names such as 1 and '1' would clash."""
    by_repr = tuple(map(repr, nodes))
    alike = repeated(map(column_name, nodes)) is not None and repeated(by_repr) is None
    return by_repr if alike else column_names(nodes)


# ---- what is checked --------------------------------------------------------------------------------------------


def _columns(what: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise DataError(f"{what}={brief(given)} of a Model: give the names of columns, as a tuple of text")
    found = tuple(given)
    for name in found:
        if not isinstance(name, str):
            raise DataError(f"{what} of a Model names {brief(name)}, a {type(name).__name__}: give text")
    twice = repeated(found)
    if twice is not None:
        raise ConfigError(f"{what} of a Model names the column {brief(twice)} twice")
    return found


def _classes(given: Any) -> tuple[Class, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise DataError(f"classes={brief(given)} of a Model: give a tuple of text or numbers")
    found = tuple(each.item() if isinstance(each, np.generic) else each for each in given)
    for each in found:
        if type(each) not in (str, int, float, bool) or each != each:
            raise DataError(f"classes of a Model has {brief(each)}: a class is text, a number or a truth value")
    twice = repeated([str(each) for each in found])
    if twice is not None:
        raise ConfigError(f"classes of a Model has two that are written {brief(twice)}")
    equal = repeated(found)
    if equal is not None:
        alike = [each for each in found if each == equal]
        raise ConfigError(f"classes of a Model has two that are equal: {brief(alike[0])} and {brief(alike[1])}")
    return found


def _loss(given: Any, classes: tuple[Class, ...], outputs: int) -> str | Loss | None:
    """Normalise the loss: the name of a registered loss, or the record of a user's own; the default for None."""
    if given is None:
        return None if not classes else "cross_entropy" if outputs > 1 else "binary_cross_entropy"
    if isinstance(given, Loss):
        known = given.name in names("losses") and find("losses", given.name) == given
        return given.name if known else given
    if not isinstance(given, str):
        raise DataError(f"loss={brief(given)} of a Model: give the name of a loss, a Loss or None")
    found: Loss = find("losses", given)
    return found.name


def _check(model: Model) -> None:
    """Check the numbers of columns, classes and scaled columns, and which arguments exclude each other."""
    n, outputs = len(model.network.inputs), len(model.network.outputs)
    counts = [("inputs", len(model.inputs), n, "inputs")]
    if model.classes:
        counts += [("classes", len(model.classes), outputs if outputs > 1 else 2, "classes by its outputs")]
    else:
        counts += [("targets", len(model.targets), outputs, "outputs")]
    for name, given, ends, of in (
        ("scaling", model.scaling, n, "inputs"),
        ("target_scaling", model.target_scaling, outputs, "outputs"),
    ):
        if given is not None:
            counts.append((name, len(instance(f"{name} of a Model", given, Scaling)), ends, of))
    for what, found, wanted, of in counts:
        if found != wanted:
            raise ShapeError(f"{what} of a Model has {found} entries: the network has {wanted} {of}")
    if model.label is not None and not isinstance(model.label, str):
        raise DataError(f"label={brief(model.label)} of a Model: give the name of a column, as text")
    if model.label is not None and not model.classes:
        raise ConfigError(f"label={brief(model.label)} of a Model: a label needs classes")
    if model.classes and model.targets:
        raise ConfigError("classes and targets of a Model exclude each other")
    _check_loss(model, outputs)


def _check_loss(model: Model, outputs: int) -> None:
    record = model.record
    if model.classes and not (record.logits and record.coupled == (outputs > 1)):
        fitting = "cross_entropy" if outputs > 1 else "binary_cross_entropy"
        raise ConfigError(f"loss {record.name!r} of a Model with classes: its outputs need {fitting}")
    if model.target_scaling is not None and record.link is not identity:
        raise ConfigError(f"target_scaling of a Model: the outputs under loss {record.name!r} are no scaled targets")


def _array(classes: tuple[Class, ...]) -> npt.NDArray[Any]:
    """Make an array of the classes; of dtype object where they have different types, so that each keeps its own."""
    return np.array(classes, None if len(set(map(type, classes))) == 1 else np.object_)


def _cut(names: Sequence[Any], limit: int = 4) -> str:
    said = [str(name)[:40] for name in names[:limit]]
    return ", ".join(said) + (f", … ({len(names)})" if len(names) > limit else "")


# ---- as JSON data -----------------------------------------------------------------------------------------------


def about_of(model: Model) -> dict[str, Any]:
    """Serialise the data of a model besides its network (roles of columns, scalings, loss) as JSON data.

    Raises:
        ConfigError: the loss is a user's own: a file keeps only names of functions.
    """
    if isinstance(model.loss, Loss):
        raise ConfigError(f"loss {brief(model.loss.name)} of the model is your own: a file keeps names of known losses")
    roles = ("inputs", "targets", "label", "classes", "ignore")
    return {
        "loss": model.loss,
        "roles": {name: _encoded(getattr(model, name)) for name in roles},
        "standardised": _numbers(model.scaling),
        "standardised_targets": _numbers(model.target_scaling),
    }


def restored(network: Network, about: Mapping[str, Any] | None, what: str) -> Model:
    """Rebuild a model from its network and the data of `about_of`; None gives a Model with defaults.

    Raises:
        FileError: the data is damaged, or does not fit the network; `what` names the file in the message.
    """
    if about is None:
        return Model(network)
    inputs, targets = scalings(about, what)
    try:
        roles = {name: decode(value) for name, value in about["roles"].items()}
        return Model(network, **roles, scaling=inputs, target_scaling=targets, loss=about["loss"])
    except (FlowgradError, ValueError, TypeError, KeyError, AttributeError) as error:
        said = f"{type(error).__name__}: {str(error)[:200]}"
        raise FileError(f"{what} is damaged, or does not fit its network: {said}") from None


def _encoded(value: Any) -> Any:
    return list(map(encode, value)) if isinstance(value, tuple) else encode(value)


def _numbers(given: Scaling | None) -> dict[str, list[float]] | None:
    return None if given is None else {"mean": given.mean.tolist(), "scale": given.scale.tolist()}
