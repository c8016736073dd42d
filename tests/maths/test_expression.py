"""Formulas as text: what the grammar takes and refuses, and what a formula is in NumPy and in C."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from flowgrad.errors import ConfigError
from flowgrad.maths.expression import C_HELPERS, FUNCTIONS, LONGEST, evaluate, in_c, parse
from flowgrad.registry import find, names

inf, nan = float("inf"), float("nan")
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 3.0, -3.0, 6.0, 1e-9, 39.0, -41.0, 801.0, -801.0, 1e10, 1e200, inf, -inf, nan]
Z = np.concatenate([EDGES, np.linspace(-12, 12, 481)])

REFUSED = [
    ("z ** 2", "'z ** 2' is not of the grammar"),
    ("z // 2", "not of the grammar"),
    ("+z", "not of the grammar"),
    ("z > 0", "not of the grammar"),
    ("z if z > 0 else 0", "not of the grammar"),
    ("True", "not of the grammar"),
    ("'z'", "not of the grammar"),
    ("2j", "not of the grammar"),
    ("np.exp(z)", "not of the grammar"),
    ("exp(z, base=2)", "not of the grammar"),
    ("(lambda: z)()", "not of the grammar"),
    ("select(z, 1, 0)", "select wants one comparison first, as z > 0, not 'z'"),
    ("select(0 < z < 1, 1, 0)", "select wants one comparison first"),
    ("select(z > 0 and z < 1, 1, 0)", "select wants one comparison first"),
    ("select(z is 1, 1, 0)", "select wants one comparison first"),
    ("select(z > 0, 1)", "select takes 3 arguments, not 2"),
    ("max(z)", "max takes 2 arguments, not 1"),
    ("max(*z)", "max takes 2 arguments, not 1"),
    ("y + z", "unknown variable 'y'"),
    ("tan(z)", "unknown function 'tan': did you mean 'tanh'"),
    ("__import__(z)", "unknown function '__import__'"),
    ("1e999", "is no finite number"),
    ("10" * 400, "is no finite number"),
    ("z +", "is no expression that can be read"),
    ("z = 1", "is no expression that can be read"),
    ("", "is no expression that can be read"),
    ("(" * 1000 + "z" + ")" * 1000, "is no expression that can be read"),
    ("z\0", "is no expression that can be read"),
    ("z + " * LONGEST + "z", "a formula has at most"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_what_is_no_formula_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(text)
    assert message in str(error.value)
    assert len(str(error.value)) < 500


def test_a_formula_may_have_other_variables() -> None:
    assert evaluate("0.5 * (y - t) * (y - t)", y=[1.0, 2.0], t=0.0).tolist() == [0.5, 2.0]
    with pytest.raises(ConfigError, match="unknown variable 'z'"):
        evaluate("z", y=1.0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_goes_through_every_function(name: str) -> None:
    if name == "select":
        assert evaluate("select(z > 0, 1, 2)", z=nan) == 2  # no comparison holds, and a formula has to say so
        return
    for arguments in [("z",)] if FUNCTIONS[name] == 1 else [("z", "1"), ("1", "z")]:
        assert np.isnan(evaluate(f"{name}({', '.join(arguments)})", z=nan))


def test_values_have_the_shape_of_the_variables() -> None:
    assert evaluate("1", z=np.zeros((2, 3))).tolist() == [[1.0] * 3] * 2
    assert evaluate("1 / z", z=[0.0, -0.0]).tolist() == [inf, -inf]
    assert evaluate("1", z=np.zeros(2)).flags.writeable


TRICKY = [
    "-z * z",
    "-(z * z)",
    "z - (z - 1)",
    "z - (1 + z)",
    "z / (z * 2)",
    "z / 2 * 3",
    "z / (2 / z)",
    "(z + 1) * (z - 1)",
    "-(-z)",
    "z - -z",
    "2 - (-z) * (-(-3))",
    "(-z + 1) / 2",
    "select(z > 1, 1, select(z < -1, -1, z)) * 2 + 1",
    "1 - select(z == z, z, 0)",
    "min(max(z, 0), 6)",
    "max(1, min(z, z * z))",
    "exp(-abs(z)) / (1 + exp(-abs(z)))",
    "log1p(exp(-abs(z))) * log1p(exp(-abs(z)))",
    "select(z != 3, 1e-300 * z, 7)",
    "select(abs(z) <= 1, sin(z) + cos(z), erfc(z))",
    "arctan(z) + sqrt(abs(z)) + expm1(z)",
    "(z)",
    " z",
]


def compiled(texts: list[str], folder: Path) -> list[ctypes._CFuncPtr]:
    """The formulas as functions of one C file, compiled with every warning an error."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc: C is not compiled here")
    source = [f"double f{k}(double z);\ndouble f{k}(double z)\n{{\n{in_c(text)}\n}}\n" for k, text in enumerate(texts)]
    (folder / "f.c").write_text("\n".join(["#include <math.h>", *C_HELPERS.values(), *source]))
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-std=c99", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, folder / "f.c", "-o", folder / "f.so", "-lm"], check=True)
    library = ctypes.CDLL(str(folder / "f.so"))
    functions = [library[f"f{k}"] for k in range(len(texts))]
    for f in functions:
        f.restype, f.argtypes = ctypes.c_double, [ctypes.c_double]
    return functions


def test_c_gives_what_numpy_gives(tmp_path: Path) -> None:
    known = (find("activations", name).expression for name in names("activations"))
    texts = [*TRICKY, *(text for pair in known if pair for text in pair)]
    for text, f in zip(texts, compiled(texts, tmp_path), strict=True):
        got, wanted = np.array([f(z) for z in Z]), evaluate(text, z=Z)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted), err_msg=text)
        np.testing.assert_allclose(got, wanted, rtol=4e-15, atol=1e-300, err_msg=text)


def test_a_call_that_comes_again_is_computed_once() -> None:
    body = in_c("exp(-abs(z)) / (1 + exp(-abs(z)))")
    assert body.count("exp(") == 1
    assert in_c("max(z, 0) * max(z, 0)").count("maximum") == 2  # which is cheap
