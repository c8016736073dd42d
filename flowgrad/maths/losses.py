"""Losses l_n of equation (4), each with the base case of (9), ∂(Σ_k l_k)/∂y_n, directly under it.

    f(y, t)              l_n; for a coupled loss f(y, t, lse)
    df(y, t)             ∂(Σ_k l_k)/∂y_n; for a coupled loss df(y, t, lse, mass)

y and t are (B, O) float arrays, outputs and targets. A loss is coupled if l_n depends on other outputs of the sample,
through the differences between outputs alone. Its functions take y minus the sample's largest y_n, lse (B, 1), which is
log Σ_n e^{y_n} of these differences, and mass (B, 1) = Σ_n t_n. The largest logit is subtracted and not added back, so
that the differences keep all their digits, however large the logits are. `Loss.evaluate` and the kernels subtract it.

The functions are plain elementwise expressions, which NumPy evaluates on whole arrays (under
`np.errstate(all="ignore")`) and Numba compiles for single float64 numbers. Nothing is clipped: the loss of an outcome
with probability 0 is inf. A term whose coefficient is exactly 0 is omitted, even if its other factor is infinite.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from numpy import where

from flowgrad.arguments import real
from flowgrad.errors import ConfigError, DataError, brief, show

Array = npt.NDArray[np.float64]

LOG_2 = 0.69314718055994530941723212145818


def identity(y: Array) -> Array:
    """Return y, the link of losses whose outputs are the predictions."""
    return y


@dataclass(frozen=True, repr=False)
class Loss:
    """A loss l_n of an output, equation (4), with its name and its derivative.

    A user's own Loss is used in place of a name, as in `compile(..., loss=Loss("quartic", f, df))`. `f` and `df` are
    called with arrays, and the Numba executor compiles them for single float64 numbers: for it they must be plain
    functions of arithmetic and NumPy's elementwise functions, with `np.where` for case distinctions.

    Two records are equal if their `name`, `f`, `df` and `coupled` are.

    Attributes:
        name: non-empty str.
        f, df: f(y, t) returns l_n and df(y, t) returns ∂(Σ_k l_k)/∂y_n, both elementwise for outputs y and targets t,
            (B, O). For a coupled loss they are f(y, t, lse) and df(y, t, lse, mass): y is the difference from the
            sample's largest output, lse (B, 1) = log Σ_n e^{y_n} of these differences, and mass (B, 1) = Σ_n t_n.
        coupled: whether l_n depends on the differences between the outputs of the sample.
        link: function (B, O) → (B, O) from outputs to predictions, for example from logits to probabilities.
        domain: (lowest, highest) allowed target, or None for no limits. NaN and infinite targets are not checked.
        advice: description of the allowed targets, with which the error message about others ends.
        outputs: smallest number of outputs for which the loss is meaningful, an integer ≥ 1.
        logits: whether outputs are logits, so that they must be able to take any real value.
        censored: whether targets are survival times, negative where the event was not observed (censored), and outputs
            are log hazards.
        of_batch: whether l_n depends on the other samples of the batch, as for `cox`. The functions are then
            f(y, t, s) and df(y, t, s) for arrays of the whole batch and the sample weights s (B, 1); they return values
            that include the weights, and are not compiled.

    Raises:
        ConfigError: `name` is not a non-empty str, or `f`, `df` or `link` is not callable.

    >>> entries["cross_entropy"]
    Loss('cross_entropy', f=cross_entropy, df=dcross_entropy, coupled=True)
    """

    name: str
    f: Callable[..., Array]
    df: Callable[..., Array]
    coupled: bool = False
    link: Callable[[Array], Array] = field(default=identity, compare=False)
    domain: tuple[float, float] | None = field(default=None, compare=False)
    advice: str = field(default="", compare=False)
    outputs: int = field(default=1, compare=False)
    logits: bool = field(default=False, compare=False)
    censored: bool = field(default=False, compare=False)
    of_batch: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"a loss's name is a non-empty text, not {self.name!r}")
        for role in ("f", "df", "link"):
            if not callable(g := getattr(self, role)):
                raise ConfigError(f"{role} of loss {self.name!r} is a function of arrays, not {brief(g)}")

    def evaluate(self, y: Array, t: Array, s: Array | None = None) -> tuple[Array, Array]:
        """Return l_n of (4) and the base cases ∂(Σ_k l_k)/∂y_n of (9), each (B, O).

        Args:
            y: (B, O) outputs.
            t: (B, O) targets.
            s: (B,) sample weights, by which both results are multiplied; None: all 1.

        >>> l, dy = entries["cross_entropy"].evaluate(np.array([[1e17, 1e17]]), np.array([[1.0, 0.0]]))
        >>> l.round(6).tolist(), dy.round(6).tolist()
        ([[0.693147, 0.0]], [[-0.5, 0.5]])
        """
        with np.errstate(all="ignore"):
            if self.of_batch:
                share = np.ones((len(y), 1), y.dtype) if s is None else s[:, None]
                return np.asarray(self.f(y, t, share)), np.asarray(self.df(y, t, share))
            if self.coupled:
                below, lse = log_partition(y)
                mass = t.sum(axis=1, keepdims=True)
                l, dy = np.asarray(self.f(below, t, lse)), np.asarray(self.df(below, t, lse, mass))
            else:
                l, dy = np.asarray(self.f(y, t)), np.asarray(self.df(y, t))
            return (l, dy) if s is None else (l * s[:, None], dy * s[:, None])

    def summed(self, y: Array, t: Array, s: Array | None) -> tuple[float, Array, Array]:
        """Return the loss summed over a batch, in total and by output, and the base cases of (9).

        Args:
            y: (B, O) outputs.
            t: (B, O) targets.
            s: (B,) sample weights; None: all 1.

        Returns:
            Σ_b s_b·L_b of (4); Σ_b s_b·l_n for each output n, (O,); s_b times the base cases of (9), (B, O).

        >>> l, by_output, dy = entries["squared_error"].summed(np.ones((2, 1)), np.zeros((2, 1)), np.array([1.0, 3.0]))
        >>> l, by_output.tolist(), dy.tolist()
        (2.0, [2.0], [[1.0], [3.0]])
        """
        value, dy = self.evaluate(y, t, s)
        with np.errstate(all="ignore"):
            return float(value.sum()), value.sum(axis=0), dy

    def alone(self, y: Array, t: Array, n: int, s: Array | None = None) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Return the derivatives of the loss of a single output n, which are the base cases of (11).

        Args:
            y: (B, O) outputs.
            t: (B, O) targets.
            n: number of the output, 0 … O−1.
            s: (B,) sample weights, by which the derivatives are multiplied; None: all 1.

        Returns:
            ∂l_n/∂y_j, (B, O), and a bool array (O,): whether l_n depends on y_j. l_n of a coupled loss depends on all
            outputs, and must be linear in t_n; of any other loss it depends on y_n alone.

        >>> dy, read = entries["squared_error"].alone(np.array([[3.0, 5.0]]), np.zeros((1, 2)), 1)
        >>> dy.tolist(), read.tolist()
        ([[0.0, 5.0]], [False, True])
        """
        only = np.arange(y.shape[1]) == n
        if self.coupled:
            return self.evaluate(y, where(only, t, 0.0), s)[1], np.ones_like(only)
        return np.asarray(where(only, self.evaluate(y, t, s)[1], 0.0)), only

    def check(self, t: Array, outputs: Sequence[Hashable] = (), rows: npt.NDArray[np.intp] | None = None) -> None:
        """Raise DataError if a finite target is outside the domain.

        Args:
            t: (B, O) targets.
            outputs: names of the outputs, for the message; without them, it gives the number of the output.
            rows: (B,) numbers of the samples, for the message; None: 0 … B−1.

        Raises:
            DataError: a finite target is outside the domain; the message names the output and sample of the first.
        """
        if self.domain is None or not t.size:
            return
        least, largest = self.domain
        if np.fmin.reduce(t, axis=None) >= least and np.fmax.reduce(t, axis=None) <= largest:
            return
        wrong = np.argwhere(np.isfinite(t) & ((t < least) | (t > largest)))
        if len(wrong):
            b, n = wrong[0].tolist()
            of = f" of output {show(outputs[n])}" if outputs else f" of output number {n}"
            at = b if rows is None else int(rows[b])
            raise DataError(f"target {t[b, n]:g}{of} at sample {at}: {self.name} takes {self.advice}")

    def __repr__(self) -> str:
        f, df = (getattr(g, "__name__", repr(g)) for g in (self.f, self.df))
        return f"Loss({self.name!r}, f={f}, df={df}, coupled={self.coupled})"


def log_partition(y: Array) -> tuple[Array, Array]:
    """Subtract from each row of y (B, O) its largest y_n; return the differences d (B, O) and log Σ_n e^{d_n} (B, 1).

    The logarithm is log1p of the sum over the other terms. A largest y_n that is not finite is not subtracted; the
    logarithm is then inf, −inf or NaN.

    >>> log_partition(np.array([[1e17, 1e17]]))
    (array([[0., 0.]]), array([[0.69314718]]))
    """
    first = np.argmax(y, axis=1)[:, None]  # the place of a NaN, where there is one
    top = np.take_along_axis(y, first, axis=1)
    finite = np.isfinite(top)
    below = y - where(finite, top, 0.0)
    e = np.exp(below)
    largest = np.take_along_axis(e, first, axis=1)
    np.put_along_axis(e, first, 0.0, axis=1)
    others = e.sum(axis=1, keepdims=True)
    return below, np.asarray(where(finite, np.log1p(others), np.log(others + largest)))


def softmax(y: Array) -> Array:
    """Return e^{y_n} / Σ_k e^{y_k} for each sample, the probabilities of classes whose logits are y (B, O)."""
    with np.errstate(all="ignore"):
        below, lse = log_partition(y)
        return np.asarray(np.exp(below - lse))


def logistic(y: Array) -> Array:
    """Return 1/(1 + e^{−y}), elementwise, the probability whose logit is y; e^{−|y|} is used, which cannot overflow."""
    with np.errstate(all="ignore"):
        e = np.exp(-np.abs(y))
        return np.asarray(where(y >= 0.0, 1.0, e) / (1.0 + e))


def rate(y: Array) -> Array:
    """Return e^y, elementwise, the rate whose logarithm is y."""
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(y))


def squared_error(y: Array, t: Array) -> Array:
    """l_n = ½ (y_n − t_n)²; the factor ½ makes the derivative y_n − t_n."""
    return 0.5 * (y - t) * (y - t)


def dsquared_error(y: Array, t: Array) -> Array:
    """y_n − t_n"""
    return y - t


def cross_entropy(y: Array, t: Array, lse: Array) -> Array:
    """l_n = −t_n · log softmax(y)_n = t_n (lse − y_n) for logits y minus their largest; t one-hot or probabilities."""
    return t * where(t == 0.0, 0.0, lse - y)


def dcross_entropy(y: Array, t: Array, lse: Array, mass: Array) -> Array:
    """mass · p_n − t_n with p = softmax(y), which is Σ_k t_k (p_n − [n = k]) for any sum of the t_k.

    For p_n > ½ it is computed as mass (p_n − 1) + (mass − t_n), without cancellation if t_n = mass.
    """
    log_p = y - lse
    likely = log_p > -LOG_2
    return mass * where(likely, np.expm1(log_p), np.exp(log_p)) + where(likely, mass - t, -t)


def binary_cross_entropy(y: Array, t: Array) -> Array:
    """l_n = log(1 + e^{y_n}) − t_n · y_n for logits y, with log(1 + e^y) = max(y, 0) + log1p(e^{−|y|})."""
    q = (y > 0.0) - t
    return q * where(q == 0.0, 0.0, y) + np.log1p(np.exp(-np.abs(y)))


def dbinary_cross_entropy(y: Array, t: Array) -> Array:
    """σ(y_n) − t_n; for y > 0 computed as (1 − t_n) − σ(−y_n), without cancellation if t_n = 1."""
    e = np.exp(-np.abs(y))
    s = e / (1.0 + e)
    return (y > 0.0) - t + (s - 2.0 * ((y > 0.0) * s))


def absolute_error(y: Array, t: Array) -> Array:
    """l_n = |y_n − t_n|"""
    return np.abs(y - t)


def dabsolute_error(y: Array, t: Array) -> Array:
    """sign(y_n − t_n), which is 0 at 0"""
    return np.sign(y - t)


def huber(y: Array, t: Array) -> Array:
    """l_n = ½ d² for |d| ≤ 1, else |d| − ½, with d = y_n − t_n; both are c (|d| − ½ c) with c = min(|d|, 1)."""
    c = np.minimum(np.abs(y - t), 1.0)
    return c * (np.abs(y - t) - 0.5 * c)


def dhuber(y: Array, t: Array) -> Array:
    """y_n − t_n, clipped to [−1, 1]"""
    return np.maximum(np.minimum(y - t, 1.0), -1.0)


def poisson(y: Array, t: Array) -> Array:
    """l_n = e^{y_n} − t_n · y_n for log rates y; the term log t_n!, which does not depend on θ, is omitted."""
    return np.exp(y) - t * where(t == 0.0, 0.0, y)


def dpoisson(y: Array, t: Array) -> Array:
    """e^{y_n} − t_n"""
    return np.exp(y) - t


def gamma(y: Array, t: Array) -> Array:
    """l_n = t_n e^{−y_n} + y_n for log means y of a gamma distribution; its shape and terms without y are omitted."""
    q = np.exp(-y)
    return t * q + where(q == np.inf, 0.0, y)


def dgamma(y: Array, t: Array) -> Array:
    """1 − t_n e^{−y_n}"""
    return 1.0 - t * np.exp(-y)


def negative_binomial(y: Array, t: Array) -> Array:
    """l_n = (t_n + 1) log(1 + e^{y_n}) − t_n y_n for log means y; the dispersion α is 1, the variance μ + μ².

    For another α it is (t_n + 1/α) log(1 + α e^{y_n}) − t_n y_n (see `overdispersed`). Terms without y are omitted.
    """
    return (t + 1.0) * np.log1p(np.exp(-np.abs(y))) + where(y > 0.0, y, -t * where(t == 0.0, 0.0, y))


def dnegative_binomial(y: Array, t: Array) -> Array:
    """σ(y_n) − t_n σ(−y_n) = (e^{y_n} − t_n)/(1 + e^{y_n}), computed with e^{−|y_n|}, which cannot overflow"""
    e = np.exp(-np.abs(y))
    return where(y > 0.0, 1.0 - t * e, e - t) / (1.0 + e)


def overdispersed(dispersion: float) -> Loss:
    """Return the loss of a negative binomial distribution with variance μ + αμ²; outputs are log means, μ = e^y.

    Args:
        dispersion: α, a finite number > 0.

    Raises:
        ConfigError: `dispersion` is not a finite number > 0.

    >>> overdispersed(0.5).evaluate(np.array([[0.0]]), np.array([[1.0]]))[0].round(6).tolist()
    [[1.216395]]
    """
    alpha = real("dispersion", dispersion, 0, open_low=True)
    more, up = 1.0 / alpha - 1.0, float(np.log(alpha))

    def f(y: Array, t: Array) -> Array:
        u = y + up
        return negative_binomial(u, t) + more * (np.maximum(u, 0.0) + np.log1p(np.exp(-np.abs(u)))) + up * t

    def df(y: Array, t: Array) -> Array:
        u = y + up
        e = np.exp(-np.abs(u))
        return dnegative_binomial(u, t) + more * (where(u > 0.0, 1.0, e) / (1.0 + e))

    return Loss(f"negative_binomial({alpha:g})", f, df, link=rate, domain=(0.0, np.inf), advice=COUNTS)


COUNTS = "counts, 0 or more"
LEAST = 5e-324  # the smallest positive (subnormal) float64

entries: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("squared_error", squared_error, dsquared_error),
        Loss(
            "cross_entropy",
            cross_entropy,
            dcross_entropy,
            coupled=True,
            link=softmax,
            domain=(0.0, np.inf),
            advice="class indices 0 … O−1, or shares of the classes, 0 or more",
            outputs=2,
            logits=True,
        ),
        Loss(
            "binary_cross_entropy",
            binary_cross_entropy,
            dbinary_cross_entropy,
            link=logistic,
            domain=(0.0, 1.0),
            advice="targets from 0 to 1, two classes as 0 and 1",
            logits=True,
        ),
        Loss("absolute_error", absolute_error, dabsolute_error),
        Loss("huber", huber, dhuber),
        Loss("poisson", poisson, dpoisson, link=rate, domain=(0.0, np.inf), advice="counts or rates, 0 or more"),
        Loss("gamma", gamma, dgamma, link=rate, domain=(LEAST, np.inf), advice="targets above 0"),
        Loss(
            "negative_binomial",
            negative_binomial,
            dnegative_binomial,
            link=rate,
            domain=(0.0, np.inf),
            advice=COUNTS,
        ),
    )
}
