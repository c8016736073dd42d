"""Functions as values that kernels take: what their digests tell apart, and that kernels compute what Python does."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba import float64
from numpy import where

from flowgrad.errors import ExecutorError
from flowgrad.executors._numba.compiled import entry, kernel
from flowgrad.executors._numba.digests import digest
from flowgrad.executors._numba.formula import called as called_as
from flowgrad.executors._numba.formula import check, fill, formula, number, overload_choose
from flowgrad.executors._numba.spec import Spec
from flowgrad.maths.aggregations import entries as aggregations

TERMS = float64[::1]


def function(source: str, filename: str = "first.py", **names: Any) -> Any:
    """The function `f` that source defines, among these globals; its file is a name alone."""
    scope = {"__name__": "somewhere", "np": np, "math": math, **names}
    exec(compile(textwrap.dedent(source), filename, "exec"), scope)
    return scope["f"]


SQUARE = """
    def g(z):
        return z * z
    def f(z):
        return g(z) + 1.0
"""
NESTED = """
    def f(z):
        h = lambda x: x + 1.0
        return h(z)
"""
CLOSED = """
    def make(k):
        def f(z):
            return k * z
        return f
    f = make(2.0)
"""
DEFAULT = """
    def f(z, k=2.0):
        return k * z
"""
GLOBAL = """
    K = 2.0
    def f(z):
        return K * z
"""
CYCLE = """
    def even(n):
        return 1.0 if n < 1.0 else f(n - 1.0)
    def f(n):
        return 0.0 if n < 1.0 else even(n - 1.0)
"""


@pytest.mark.parametrize("source", [SQUARE, NESTED, CLOSED, DEFAULT, GLOBAL, CYCLE])
def test_equal_code_has_one_digest_wherever_it_stands(source: str) -> None:
    moved = function("\n\n\n" + source, "elsewhere.py")
    assert digest(function(source)) == digest(moved)
    assert formula(function(source)) is (held := formula(moved)), held


def test_docstrings_do_not_count() -> None:
    one, two = (function(f'def f(z):\n    """{text}"""\n    return "{text}" if z else 1') for text in ("a", "a"))
    assert digest(one) == digest(two)
    one, two = (function(f'def f(z):\n    """{text}"""\n    return z') for text in ("One.", "Two, longer."))
    assert digest(one) == digest(two)
    one, two = (function(f'def f(z):\n    return "{text}" if z else ""') for text in ("One.", "Two."))
    assert digest(one) != digest(two)


EDITS = {
    "a constant": (SQUARE, "+ 1.0", "+ 2.0"),
    "an integer for a float": (SQUARE, "+ 1.0", "+ 1"),
    "the sign of zero": (SQUARE.replace("1.0", "0.0"), "+ 0.0", "+ -0.0"),
    "an operator": (SQUARE, "+ 1.0", "- 1.0"),
    "a function that is called": (SQUARE, "z * z", "z + z"),
    "a function inside": (NESTED, "x + 1.0", "x + 2.0"),
    "a closure": (CLOSED, "make(2.0)", "make(3.0)"),
    "a default": (DEFAULT, "k=2.0", "k=3.0"),
    "a keyword's default": (DEFAULT.replace("k=", "*, k="), "k=2.0", "k=3.0"),
    "a global number": (GLOBAL, "K = 2.0", "K = 3.0"),
    "a global's type": (GLOBAL, "K = 2.0", "K = np.float32(2.0)"),
    "a global array": (GLOBAL.replace("K *", "K[0] *"), "K = 2.0", "K = np.array([2.0]); K[0] = 3.0"),
    "a global tuple": (GLOBAL.replace("K *", "K[1][0] *"), "K = 2.0", "K = (1.0, (2.0,))"),
    "a function in a cycle": (CYCLE, "1.0 if", "2.0 if"),
    "a name": (SQUARE.replace("z * z", "np.sin(z)"), "np.sin", "np.cos"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_changes_the_digest(edit: str) -> None:
    source, old, new = EDITS[edit]
    assert source.count(old) == 1
    assert digest(function(source)) != digest(function(source.replace(old, new)))


def test_elements_of_arrays_count_by_value() -> None:
    source = "def f(z):\n    return z * K[1]"
    K = np.array([1.0, 2.0])
    before = digest(function(source, K=K))
    assert digest(function(source, K=K.copy())) == before
    K[1] = 3.0
    assert digest(function(source, K=K)) != before


def test_what_is_read_from_a_module_counts() -> None:
    found = []
    for k in (2.0, 2.0, 3.0):
        module = types.ModuleType("constants")
        module.K, module.unused = k, object()  # type: ignore[attr-defined]  # made by the test
        found.append(digest(function("def f(z):\n    return constants.K * z", constants=module)))
    assert found[0] == found[1] != found[2]


def test_dispatchers_count_as_their_function_and_options() -> None:
    source = "def f(z):\n    return g(z)"
    jit = {k: numba.njit(function(f"def f(z):\n    return {k} * z")) for k in (2.0, 3.0)}
    again = numba.njit(function("def f(z):\n    return 2.0 * z"))
    fast = numba.njit(function("def f(z):\n    return 2.0 * z"), fastmath=True)
    found = [digest(function(source, g=g)) for g in (jit[2.0], again, jit[3.0], fast)]
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_a_value_of_no_known_kind_is_like_itself_alone() -> None:
    class Unlike:
        def __reduce__(self) -> Any:
            raise TypeError("not to be written")

    one, two = Unlike(), Unlike()
    source = "def f(z):\n    return K"
    assert digest(function(source, K=one)) == digest(function(source, K=one)) != digest(function(source, K=two))


def test_digests_are_those_of_another_process_that_imported_in_another_order() -> None:
    script = """
        import sys
        from importlib import import_module
        from pkgutil import iter_modules
        import numpy as np
        from flowgrad.executors import _numba
        names = [info.name for info in iter_modules(_numba.__path__, _numba.__name__ + ".")]
        for name in names[:: int(sys.argv[1])]:
            import_module(name)
        from flowgrad.executors._numba.compiled import package_stamp
        from flowgrad.executors._numba.digests import digest
        from flowgrad.maths.activations import entries
        K = (1.0, np.float32(2.0), np.arange(3), frozenset("abcdef"), {"a": [1]}, float, np.exp)
        g = lambda z: f(z) in {"a", "b", "c"}
        f = lambda z: g(z) * K[0]
        print(digest(f), package_stamp(), *(digest(each.f) for each in entries.values()))
    """
    said = set()
    for seed, step in (("1", "1"), ("2", "-1")):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        run = [sys.executable, "-c", textwrap.dedent(script), step]
        said.add(subprocess.run(run, env=env, capture_output=True, text=True, check=True).stdout)
    assert len(said) == 1


def spec_of(f: Any) -> Spec:
    """What a kernel is compiled for that calls a function as "f"."""
    return Spec(np.dtype(np.float64), 1, f=formula(f))


def test_a_type_has_its_digest_and_pickles() -> None:
    one = spec_of(lambda z: 2.5 * z)
    assert numba.typeof(one) == one.type == spec_of(lambda z: 2.5 * z).type == pickle.loads(pickle.dumps(one.type))
    assert one.type != spec_of(lambda z: 3.5 * z).type
    assert pickle.loads(pickle.dumps(one.functions["f"])) is one.functions["f"]
    assert b"somewhere" not in pickle.dumps(spec_of(function(SQUARE)).type)


apply = called_as("f")


@kernel
def called(spec: Any, x: Any) -> Any:
    return apply(spec, x)


@kernel
def called_with_two(spec: Any, x: Any, y: Any) -> Any:
    return apply(spec, x, y)


FACTOR = 3.0


def scaled(z: float, k: float = 2.0) -> float:
    return k * z


def factorial(n: float) -> float:
    return 1.0 if n <= 1.0 else n * factorial(n - 1.0)


def even(n: float) -> float:
    return 1.0 if n < 1.0 else odd(n - 1.0)


def odd(n: float) -> float:
    return 0.0 if n < 1.0 else even(n - 1.0)


def closed(k: float) -> Callable[[float], float]:
    return lambda z: scaled(z) + k


OWN = numba.njit(scaled)

ONE_NUMBER: dict[str, Callable[..., Any]] = {
    "a lambda": lambda z: z * z,
    "a global and a function": lambda z: FACTOR * scaled(z, 4.0),
    "a default": scaled,
    "any number of arguments": lambda *z: z[0] + len(z),
    "a closure": closed(1.5),
    "itself": factorial,
    "a cycle": even,
    "a dispatcher": OWN,
    "one that calls a dispatcher": lambda z: OWN(z) + 1.0,
    "a division by zero": lambda z: z / (z - 3.0),
    "where as an attribute": lambda z: np.where(z > 0.0, z, 0.0),
    "where as a name": lambda z: where(z > 0.0, z, 0.0) + 1.0,
    "where as a number of math's": lambda z: math.sin(where(z > 0.0, z, 0.0)),
    "a function inside": function(NESTED),
}


@pytest.mark.parametrize("case", ONE_NUMBER)
def test_a_kernel_computes_what_python_does(case: str) -> None:
    f = spec_of(ONE_NUMBER[case])
    with np.errstate(all="ignore"):
        want = called.py_func(f, np.float64(3.0))  # as Python runs it
    assert called(f, 3.0) == want


def test_losses_take_two_numbers_and_aggregations_arrays() -> None:
    squared = spec_of(lambda y, t: (y - t) ** 2)
    assert called_with_two(squared, 3.0, 1.0) == 4.0
    t, d = np.array([1.0, -4.0, 2.0]), np.empty(3)
    longest = aggregations["max_abs"]
    assert called(spec_of(longest.f), t) == longest.f(t)
    fill(spec_of(longest.df), t, d)
    want = np.empty(3)
    longest.df(t, want)
    np.testing.assert_array_equal(d, want)


def test_where_is_of_numbers_or_of_arrays() -> None:
    t = np.array([1.0, -4.0])
    np.testing.assert_array_equal(overload_choose(TERMS, TERMS, float64)(t > 0.0, t, 0.0), [1.0, 0.0])
    assert overload_choose(float64, float64, float64)(True, 1.0, 2.0) == 1.0


def test_an_entry_is_called_without_dispatch() -> None:
    f = spec_of(lambda z: z + 0.25)
    plain = entry(called, f.type, float64)
    assert plain(f, 1.0) == 1.25


def test_equal_functions_share_one_compilation() -> None:
    made = [spec_of(lambda z: 7.25 * z) for _ in range(3)]
    for each in made:
        called(each, 1.0)
    assert len({id(each.functions["f"]) for each in made}) == 1
    assert [types[0] for types in called.overloads].count(made[0].type) == 1


BAD: dict[str, tuple[Any, str]] = {
    "an import": (lambda z: __import__(str(z)), "'__import__'"),
    "a text": (lambda z: "a", "float"),
    "a ufunc": (np.tanh, "<ufunc 'tanh'> is no plain Python function"),
    "an object": (object, "is no plain Python function"),
    "a function of two": (lambda z, y: z, "y"),
    "one in a function that it calls": (lambda z: unfit(z), "'__import__'"),
}


def unfit(z: float) -> float:
    return __import__("math").sin(z)


@pytest.mark.parametrize("case", BAD)
def test_what_numba_cannot_compile_is_refused_by_name(case: str) -> None:
    f, why = BAD[case]
    with pytest.raises(ExecutorError, match=r"^activation 'bad': f cannot be compiled by Numba: ") as caught:
        check(formula(f), "activation 'bad': f", float64)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 500
    assert "lambda" not in str(caught.value)


def test_what_numba_compiles_passes_the_check() -> None:
    check(formula(lambda z: 1), "f", float64)
    check(formula(lambda y, t: y - t), "f", float64, float64)
    check(formula(aggregations["sum"].f), "f", TERMS)
    check(formula(aggregations["sum"].df), "df", TERMS, TERMS)
    assert number(spec_of(lambda z: 1), (2.0,)) == 1.0


def test_memory_of_equal_functions_is_flat_and_of_distinct_ones_small() -> None:
    script = """
        import gc
        from resource import RUSAGE_SELF, getrusage
        import numpy as np
        from flowgrad.executors._numba.compiled import kernel
        from flowgrad.executors._numba.formula import called, formula
        from flowgrad.executors._numba.spec import Spec

        f = called("f")

        @kernel
        def apply(spec, x):
            return f(spec, x)

        def run(k):
            assert apply(Spec(np.dtype(float), 1, f=formula(eval(f"lambda z: {k}.0 * z"))), 2.0) == 2.0 * k

        def grown(constants):
            gc.collect()
            before = getrusage(RUSAGE_SELF).ru_maxrss
            for k in constants:
                run(k)
            return (getrusage(RUSAGE_SELF).ru_maxrss - before) / 1024

        grown([1] * 200)
        print(grown([1] * 1000), grown(range(2, 7)) / 5)
    """
    run = [sys.executable, "-c", textwrap.dedent(script)]
    said = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    equal, distinct = map(float, said)
    assert equal < 0.5
    assert distinct < 2.0


def test_functions_that_call_each_other_run_in_a_second_process(tmp_path: Path) -> None:
    """What Numba links of them alone would end the process that loads it: it is compiled again."""
    folder = str(Path(__file__).parent)
    script = f"import sys; sys.path.insert(0, {folder!r}); from test_formula import called, even, spec_of\n"
    script += "print(called(spec_of(even), 3.0), called(spec_of(even), 4.0))"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    for _ in range(2):
        run = [sys.executable, "-c", script]
        done = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == "0.0 1.0\n"
