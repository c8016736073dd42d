"""Define the arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from flowgrad.atomic import same_file
from flowgrad.errors import ConfigError
from flowgrad.files import RUN_NETWORK
from flowgrad.format import Format as FileFormat
from flowgrad.model import Model
from flowgrad.runs.models import ABOUT, TRAINED

Network = Annotated[
    Path,
    typer.Argument(
        metavar="NETWORK",
        help="A run folder, a model (.fgm), or a network in any format that flowgrad reads.",
        show_default=False,
    ),
]
Data = Annotated[
    Path, typer.Option(metavar="FILE", help="Samples: CSV with a header, TSV, Parquet, or .npz.", show_default=False)
]
MaybeData = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Samples; default: drawn with the seed.", show_default=False),
]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a CSV file instead of printing.", show_default=False)
]
Orient = Annotated[
    str | None,
    typer.Option(
        metavar="WAY",
        help="Rows of the table: samples, or features (as in a table of genes × samples).",
        show_default=False,
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Table with the label or the targets, joined on the samples' ids.", show_default=False
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of the samples' ids; default: the unnamed first column, or the header.",
        show_default=False,
    ),
]
Surplus = Annotated[
    str | None, typer.Option(metavar="WHAT", help="Treatment of unused columns: error or ignore.", show_default=False)
]
Missing = Annotated[
    str | None,
    typer.Option(
        metavar="WHAT",
        help="Treatment of inputs without a column: error, or drop (remove them from the network).",
        show_default=False,
    ),
]
RUN_FILES = (RUN_NETWORK, ABOUT, TRAINED, "config.toml", "metrics.csv", "summary.json")
"""Files of a run folder that commands read."""
TABLES = {"orient": Orient, "labels": Labels, "key": Key, "surplus": Surplus, "missing": Missing}
"""Options of how samples are read, one for each key of [data] that may be given on the command line."""
Tables = dict[str, Any]
"""Values of the options `TABLES` by key; None where an option is left out."""


def with_tables(entry: Callable[..., Any]) -> Callable[..., Any]:
    """Replace a command's argument `tables`, a dict, by the options `TABLES`."""

    @wraps(entry)
    def command(**options: Any) -> Any:
        return entry(tables={name: options.pop(name, None) for name in TABLES}, **options)

    own = signature(entry, eval_str=True)
    more = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=hint) for name, hint in TABLES.items()]
    kept = [each.replace(kind=Parameter.KEYWORD_ONLY) for name, each in own.parameters.items() if name != "tables"]
    command.__signature__ = own.replace(parameters=[*kept, *more])  # type: ignore[attr-defined]  # read by typer
    command.__annotations__ = {each.name: each.annotation for each in (*kept, *more)}
    return command


Format = Annotated[
    str | None,
    typer.Option(metavar="FORMAT", help="Format of the file to write; default: by its suffix.", show_default=False),
]
Epochs = Annotated[int | None, typer.Option(help="Override train.epochs.", show_default=False, metavar="N")]
Workers = Annotated[
    int | None, typer.Option(metavar="N", help="Number of processes; default: one per core.", show_default=False)
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override any key of the configuration, such as train.l2=0.01; may be repeated.",
        show_default=False,
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="Column to skip; may be repeated.", show_default=False),
]
Executor = Annotated[str, typer.Option(metavar="NAME", help="Executor; see flowgrad list executors.")]
Loss = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Loss; default: that of the run, else squared_error.", show_default=False),
]
Top = Annotated[int, typer.Option("--top", min=1, metavar="N", help="Number of rows to show.")]
Rows = Annotated[
    int | None,
    typer.Option(
        "--top",
        min=1,
        metavar="N",
        help="Number of rows; default: 20 on a terminal, all in a CSV file.",
        show_default=False,
    ),
]
ReadAs = Annotated[
    str | None,
    typer.Option("--from", metavar="FORMAT", help="Format of NETWORK; default: by its suffix.", show_default=False),
]
Reading = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="Option of the reader, such as species=MMU, source_column=pre or where.type=chemical; may be repeated.",
        show_default=False,
    ),
]


def check_apart(out: Path | None, *read: Path | str | None) -> None:
    """Raise ConfigError where a command would overwrite a file that it reads.

    Args:
        out: the file that the command writes; None where it prints.
        read: files that it reads, and run folders, which stand for their files `RUN_FILES`.
    """
    if out is None:
        return
    for given in read:
        path = None if given is None else Path(given)
        files = [] if path is None else [path / name for name in RUN_FILES] if path.is_dir() else [path]
        if any(same_file(out, file) for file in files):
            raise ConfigError(f"{out} is read by this command, and would be overwritten: name another file")


def folded_into(model: Model, chosen: FileFormat) -> str:
    """Describe the scaling in a file of this format, in a sentence; empty for a model without scaling.

    Folding a standardised input puts its mean into biases, which a list of edges does not have.
    """
    if model.scaling is None and model.target_scaling is None:
        return ""
    if chosen.keeps in ("edges", "weights"):
        return "it answers neither to the columns as they were measured nor to standardised ones: it has no biases"
    return "it takes the columns as they were measured: the scaling is in its weights"
