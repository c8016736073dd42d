"""Define the TOML of `flowgrad train`: every key with its rule and default, and the check of a configuration."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from flowgrad.choice import with_options
from flowgrad.errors import ConfigError, FileError, UnknownNameError, brief, suggest
from flowgrad.executor import Executor
from flowgrad.fitting.slots import is_bound
from flowgrad.optimizer import Optimizer
from flowgrad.optimizers import with_settings
from flowgrad.registry import names, singular
from flowgrad.shapes import takes
from flowgrad.tables.table import Reading
from flowgrad.toml_text import written

Config = dict[str, dict[str, Any]]
T = TypeVar("T")


@dataclass(frozen=True)
class Rule:
    """A condition on a value: `words` for error messages, and `holds`, the test."""

    words: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Key:
    """One key of the TOML; a default of None means that the key may be left out and then has no value."""

    rule: Rule
    default: Any
    help: str


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value - value == 0


def whole(least: int) -> Rule:
    """Make the rule of an integer, `least` or more."""
    return Rule(f"an integer, {least} or more", lambda v: _is_whole(v) and v >= least)


def choice(*options: str) -> Rule:
    """Make the rule of one of these words."""
    return Rule("one of " + ", ".join(map(repr, options)), lambda v: isinstance(v, str) and v in options)


def either(a: Rule, b: Rule) -> Rule:
    """Make the rule that holds where one of two rules does."""
    return Rule(f"{a.words}, or {b.words}", lambda v: a.holds(v) or b.holds(v))


def named(what: str, key: str) -> Rule:
    """Make the rule of a name, or of a table of the name and of its settings or options, which `what` says."""
    table = Rule(f"a table of its name and {what}, [{key}]", lambda v: isinstance(v, dict))
    return either(Rule("a name", TEXT.holds), table)


TEXT = Rule("a text, not empty", lambda v: isinstance(v, str) and v != "")
TEXTS = Rule(
    "a list of texts, not empty",
    lambda v: isinstance(v, list) and bool(v) and all(isinstance(x, str) and x != "" for x in v),
)
WHOLES = Rule(
    "a list of integers, 1 or more each",
    lambda v: isinstance(v, list) and all(_is_whole(x) and x >= 1 for x in v),
)
TABLE = Rule("a table of options", lambda v: isinstance(v, dict) and all(isinstance(name, str) for name in v))
FLAG = Rule("true or false", lambda v: isinstance(v, bool))
POSITIVE = Rule("a number above 0", lambda v: _is_number(v) and v > 0)
NOT_NEGATIVE = Rule("a number, 0 or more", lambda v: _is_number(v) and v >= 0)
FRACTION = Rule("a fraction between 0 and 1", lambda v: _is_number(v) and 0 < v < 1)
BELOW_1 = Rule("a number, 0 or more and below 1", lambda v: _is_number(v) and 0 <= v < 1)
PROBABILITY = Rule("a probability, 0 to 1", lambda v: _is_number(v) and 0 <= v <= 1)
FACTORS = Rule(
    "a table of such by words", lambda v: isinstance(v, dict) and bool(v) and all(map(NOT_NEGATIVE.holds, v.values()))
)
CLASS_WEIGHT = either(
    choice("balanced"),
    Rule("a table of numbers, 0 or more, by class", FACTORS.holds),
)
BOUNDS_BY_WORDS = Rule(
    "a table of 'nonnegative', 'nonpositive', 'sign' or [low, high] by words",
    lambda v: isinstance(v, dict) and bool(v) and all(map(is_bound, v.values())),
)
COLUMNS = either(TEXTS, Rule("the name of a 2-D array of an .npz", TEXT.holds))
PART = either(FRACTION, Rule("a file's name", TEXT.holds))

KEYS: dict[str, dict[str, Key]] = {
    "network": {
        "file": Key(TEXT, None, "a network in any format that flowgrad reads, a run folder, or a model (.fgm)"),
        "format": Key(TEXT, None, "format of the file; default: by its suffix, see flowgrad list formats"),
        "options": Key(TABLE, None, 'file, edges: options of the format\'s reader, such as {species = "MMU"}'),
        "edges": Key(TEXT, None, "CSV, TSV or Parquet file of edges: source,target[,weight]"),
        "topology": Key(TEXT, None, "topology, see flowgrad list topologies; the data give its sizes"),
        "hidden": Key(WHOLES, None, "layered: number of neurons of each hidden layer"),
        "skips": Key(whole(0), None, "layered: number of further layers that each layer feeds"),
        "n": Key(whole(2), None, "randomly wired: number of hidden neurons"),
        "k": Key(whole(2), None, "watts_strogatz: number of neighbours of a neuron"),
        "m": Key(whole(1), None, "barabasi_albert: number of edges of a new neuron"),
        "p": Key(PROBABILITY, None, "watts_strogatz, erdos_renyi: probability of rewiring, of an edge"),
        "inputs": Key(TEXTS, None, "edges: the inputs; default: nodes without in-edges"),
        "outputs": Key(TEXTS, None, "edges: the outputs; default: nodes without out-edges"),
        "activation": Key(TEXT, None, "of hidden neurons; default: tanh (edges, topology), or that of the reader"),
        "output_activation": Key(TEXT, None, "of outputs, replaces the file's; default: identity (edges, topology)"),
        "initializer": Key(TEXT, None, "of absent weights, see flowgrad list initializers; default: by activation"),
        "seed": Key(whole(0), 0, "seed of absent weights"),
    },
    "data": {
        "file": Key(TEXT, None, "CSV with a header, TSV, Parquet, or .npz of columns; required"),
        "orient": Key(
            choice("samples", "features"), "samples", "rows of the table: samples, or features (genes × samples)"
        ),
        "labels": Key(TEXT, None, "another table, with the label or the targets, joined on the samples' ids"),
        "key": Key(TEXT, None, "column of the samples' ids; default: the unnamed first column, or the header"),
        "surplus": Key(choice("error", "ignore"), "error", "treatment of unused columns"),
        "missing": Key(choice("error", "drop"), "error", "inputs without a column; drop: remove them from the network"),
        "inputs": Key(COLUMNS, None, "columns of the inputs, in their order; default: by the inputs' names"),
        "targets": Key(COLUMNS, None, "columns of the targets, in the outputs' order; default: by the outputs' names"),
        "label": Key(TEXT, None, "column of classes, instead of targets"),
        "positive": Key(TEXT, None, "with a label and one output: the class whose probability the output gives"),
        "weight": Key(TEXT, None, "column of the samples' weights, 0 or more; samples of weight 0 are not used"),
        "ignore": Key(TEXTS, None, "columns to ignore"),
        "standardize": Key(FLAG, True, "scale inputs to mean 0 and variance 1 on the training samples"),
        "standardize_targets": Key(FLAG, False, "scale targets likewise; predictions are scaled back"),
        "test": Key(PART, 0.2, "samples held out for the final figures: a fraction, or a file"),
        "validation": Key(PART, None, "samples held out for early stopping: a fraction of the others, or a file"),
        "seed": Key(whole(0), 0, "seed of the split"),
    },
    "train": {
        "loss": Key(TEXT, None, "loss; default: cross_entropy with a label, else squared_error"),
        "optimizer": Key(named("settings", "train.optimizer"), "adam", "see flowgrad list optimizers"),
        "learning_rate": Key(POSITIVE, None, "learning rate; default: that of the optimizer"),
        "epochs": Key(whole(1), 100, "greatest number of epochs"),
        "batch_size": Key(whole(1), 64, "number of samples per step"),
        "patience": Key(whole(1), None, "number of epochs without improvement before training stops"),
        "metrics": Key(TEXTS, None, "metrics that are recorded after each epoch"),
        "l1": Key(either(NOT_NEGATIVE, FACTORS), 0.0, "factor of the sum of the absolute weights"),
        "l2": Key(either(NOT_NEGATIVE, FACTORS), 0.0, "factor of the sum of the squared weights"),
        "penalize": Key(
            choice("weights", "input weights"), "weights", "weights that l1 and l2 apply to, if they are numbers"
        ),
        "clip": Key(POSITIVE, None, "greatest norm of a step's gradient"),
        "clip_value": Key(POSITIVE, None, "greatest magnitude of a component of a step's gradient"),
        "constraints": Key(BOUNDS_BY_WORDS, None, "bounds on weights and biases"),
        "dropout": Key(BELOW_1, 0.0, "probability that a hidden neuron is dropped from a sample's step"),
        "input_dropout": Key(BELOW_1, 0.0, "probability that an input is dropped from a sample's step"),
        "class_weight": Key(CLASS_WEIGHT, None, "factors of the samples' weights by class, in training"),
        "label_smoothing": Key(BELOW_1, 0.0, "targets of classes become (1 − ε)·t + ε/K, in training"),
        "schedule": Key(TEXT, None, "schedule of the learning rate, see flowgrad list schedules"),
        "shuffle": Key(FLAG, True, "shuffle the samples before each epoch"),
        "seed": Key(whole(0), 0, "seed of the order of samples"),
        "executor": Key(named("options", "train.executor"), "auto", "see flowgrad list executors"),
        "dtype": Key(choice("float32", "float64"), "float64", "dtype of all numbers"),
        "threads": Key(whole(1), None, "number of threads; default: chosen by the executor"),
        "log": Key(TEXTS, None, "callbacks that receive the values, see flowgrad list callbacks"),
    },
    "run": {
        "folder": Key(TEXT, None, "run folder; default: runs/NAME"),
    },
}


def read(path: Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read and check a configuration; the result has every section and key, absent ones by default, else None.

    Args:
        options: "section.key" → value, which replaces the file's.

    Raises:
        FileError: the file is missing or is not UTF-8 text.
        ConfigError: no TOML; a section or key that does not exist, with the nearest; a value of the wrong type
            or range, named with its key.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise FileError(f"{path} is no TOML: not UTF-8 text") from None
    except OSError as error:
        raise FileError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}") from None
    for key, value in (options or {}).items():
        section, _, name = key.partition(".")
        if isinstance(given.setdefault(section, {}), dict):
            given[section] |= _placed(given[section], name, value)
    return check(given)


def _placed(section: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Place a value of --set under its key of a section; `optimizer.momentum` is added to the table or name there.

    >>> _placed({"optimizer": "sgd"}, "optimizer.momentum", 0.9)
    {'optimizer': {'name': 'sgd', 'momentum': 0.9}}
    """
    name, dot, inner = name.partition(".")
    if not dot:
        return {name: value}
    there = section.get(name, {})
    return {name: ({"name": there} if isinstance(there, str) else dict(there)) | {inner: value}}


def options_of(given: Iterable[str] | None) -> dict[str, Any]:
    """Parse SECTION.KEY=VALUE into the options of `read`: a value in TOML's syntax, else text.

    Raises:
        ConfigError: no SECTION.KEY=VALUE, or a key given twice.

    >>> options_of(["train.l2=0.01", "train.metrics=['accuracy']", "network.file=net.json"])
    {'train.l2': 0.01, 'train.metrics': ['accuracy'], 'network.file': 'net.json'}
    """
    found: dict[str, Any] = {}
    for words in given or ():
        key, equals, value = words.partition("=")
        if not equals or not all(key.partition(".")):
            raise ConfigError(f"--set {brief(words)}: must be SECTION.KEY=VALUE, as train.epochs=20")
        if key in found:
            raise ConfigError(f"--set {brief(words)}: {brief(key)} is given twice")
        try:
            found[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[key] = value
    return found


def check(given: Mapping[str, Any]) -> Config:
    """Check a mapping and complete it to a configuration; see `read`.

    >>> check({"data": {"file": "x.csv"}, "train": {"epochs": "ten"}})
    Traceback (most recent call last):
    flowgrad.errors.ConfigError: train.epochs = "ten": must be an integer, 1 or more
    """
    for section, values in given.items():
        if section not in KEYS:
            what = f"section [{section}]" if isinstance(values, dict) else f"key {section}"
            raise ConfigError(f"unknown {what}{suggest(section, KEYS)}")
        if not isinstance(values, dict):
            raise ConfigError(f"{section} = {written(values)}: must be a section, [{section}]")
        for name, value in values.items():
            check_value(section, name, value)
    config = {
        section: {name: given.get(section, {}).get(name, key.default) for name, key in keys.items()}
        for section, keys in KEYS.items()
    }
    _check_together(config)
    if config["network"]["file"] is None:
        for name, default in (("activation", "tanh"), ("output_activation", "identity")):
            config["network"][name] = config["network"][name] or default
    return config


def check_value(section: str, name: str, value: Any) -> None:
    """Raise ConfigError or UnknownNameError, naming the key, where it does not exist or the value breaks its rule."""
    if name not in KEYS[section]:
        homes = [s for s, keys in KEYS.items() if name in keys]
        rest = f": it belongs to [{homes[0]}]" if homes else suggest(name, KEYS[section])
        raise ConfigError(f"unknown key {section}.{name}{rest}")
    rule = KEYS[section][name].rule
    if not rule.holds(value):
        raise ConfigError(f"{section}.{name} = {written(value)}: must be {rule.words}")
    if name in NAMED and isinstance(value, dict):
        NAMED[name](value)
        return
    kind = REGISTERED.get(f"{section}.{name}")
    if kind is not None:
        known = registered(kind)
        for each in value if isinstance(value, list) else [value]:
            if each not in known:
                rest = suggest(each, known)
                raise UnknownNameError(f"{section}.{name} = {written(value)}: unknown {singular(kind)}{rest}")


def registered(kind: str) -> tuple[str, ...]:
    """Return the names that a key of a registered kind may have."""
    return (*names(kind), "auto") if kind == "executors" else names(kind)


def optimizer_of(given: str | Mapping[str, Any]) -> Optimizer:
    """Make the optimizer of a name, or of a table of its name and settings.

    Raises:
        ConfigError, UnknownNameError: no such name or setting, or a setting of the wrong type or range.
    """
    return _made("optimizer", given, with_settings)


def executor_of(given: str | Mapping[str, Any]) -> str | Executor:
    """Return the name of an executor, or make the Executor of a table of its name and options.

    Raises:
        ConfigError, UnknownNameError: no such name or option, or an option of the wrong type or range.
    """
    return given if isinstance(given, str) else _made("executor", given, with_options)


NAMED: dict[str, Callable[[Any], Any]] = {"optimizer": optimizer_of, "executor": executor_of}


def _made(key: str, given: str | Mapping[str, Any], make: Callable[..., T]) -> T:
    """Call `make` with the name and, as keywords, the other entries of a table."""
    table = {"name": given} if isinstance(given, str) else dict(given)
    name = table.pop("name", None)
    if not isinstance(name, str):
        said = "is missing" if name is None else f"= {written(name)}: must be a text"
        raise ConfigError(f"train.{key}.name {said}; see flowgrad list {key}s")
    try:
        return make(name, **table)
    except (ConfigError, UnknownNameError) as error:
        raise type(error)(f"train.{key}: {error}") from None


def _check_together(config: Config) -> None:
    """Raise ConfigError where keys contradict each other or one that another needs is missing."""
    network, data = config["network"], config["data"]
    ways = [way for way in ("file", "edges", "topology") if network[way] is not None]
    if len(ways) != 1:
        found = " and ".join(f"network.{way}" for way in ways) or "none of them"
        raise ConfigError(f"[network] must have one of file, edges and topology, and has {found}")
    known = {"file": ("format", "options"), "edges": ("options", "inputs", "outputs")}.get(ways[0])
    known = known or tuple(takes(network["topology"]))
    for name in ("format", "options", "inputs", "outputs", "hidden", "skips", "n", "k", "m", "p"):
        if network[name] is not None and name not in known:
            what = f"topology {network['topology']!r}" if ways == ["topology"] else f"a network by {ways[0]}"
            said = ", ".join(known)
            raise ConfigError(f"network.{name} = {written(network[name])}: {what} has no {name}; it takes {said}")
    if data["file"] is None:
        raise ConfigError("data.file is missing: name the file of samples")
    if data["label"] is not None and data["targets"] is not None:
        raise ConfigError("data.label and data.targets exclude each other: give classes or targets")
    if data["positive"] is not None and data["label"] is None:
        raise ConfigError(f"data.positive = {written(data['positive'])}: needs data.label")
    optimizer, rate = config["train"]["optimizer"], config["train"]["learning_rate"]
    if isinstance(optimizer, dict) and "learning_rate" in optimizer and rate is not None:
        raise ConfigError("train.learning_rate and train.optimizer.learning_rate exclude each other: give one")
    words = [name for name in ("l1", "l2") if isinstance(config["train"][name], dict)]
    if words and config["train"]["penalize"] != "weights":
        raise ConfigError(
            f"train.penalize = {written(config['train']['penalize'])}: train.{words[0]} is a table, whose words say "
            "which weights it means"
        )
    if config["train"]["patience"] is not None and data["validation"] is None:
        raise ConfigError(
            f"train.patience = {config['train']['patience']}: needs data.validation, a fraction or a file"
        )


def reading_of(data: Mapping[str, Any]) -> Reading:
    """Make the `Reading` of tables from the section [data] or the options of a command; None means absent.

    Raises:
        ConfigError: a value breaks its key's rule.
    """
    names = [each.name for each in fields(Reading)]
    given = {name: data[name] for name in names if data.get(name) is not None}
    for name, value in given.items():
        check_value("data", name, str(value))
    if "labels" in given:
        given["labels"] = Path(given["labels"])
    return Reading(**given)


REGISTERED = {
    "network.format": "formats",
    "network.topology": "topologies",
    "network.initializer": "initializers",
    "network.activation": "activations",
    "network.output_activation": "activations",
    "train.loss": "losses",
    "train.optimizer": "optimizers",
    "train.metrics": "metrics",
    "train.schedule": "schedules",
    "train.executor": "executors",
    "train.log": "callbacks",
}
