"""Aliases: names that other programs use for entries of a registry; they are not accepted, but error messages suggest
flowgrad's name for them. Also the warning for former names and argument orders of flowgrad, which are accepted.

Variants in case and separators need no entry: `ReLU`, `leakyrelu` and `HardTanh` are matched without one.
"""

from __future__ import annotations

import warnings

BY_KIND: dict[str, dict[str, tuple[str, ...]]] = {
    "activations": {
        "identity": ("linear", "none", "id", "pass_through", "purelin"),
        "sigmoid": ("logistic", "sigm", "expit", "logsig"),
        "tanh": ("tansig", "hyperbolic_tangent"),
        "relu": ("rectifier", "rect", "rectified_linear", "ramp"),
        "leaky_relu": ("lrelu", "leaky", "leaky_rectify"),
        "silu": ("swish",),
        "gelu": ("gaussian_error_linear_unit",),
        "hard_sigmoid": ("hsigmoid",),
        "hard_tanh": ("htanh", "clip", "clamp", "satlins"),
        "arctan": ("atan", "inverse_tangent"),
        "erf": ("error_function", "gauss_error_function"),
        "sin": ("sine", "sinus"),
        "cos": ("cosine", "cosinus"),
        "gaussian": ("gauss", "rbf", "radbas"),
        "step": ("heaviside", "threshold", "binary_step", "hardlim"),
        "sign": ("signum", "hardlims"),
        "abs": ("absolute", "absolute_value", "modulus"),
        "square": ("squared", "quadratic", "pow2"),
        "exp": ("exponential",),
        "log": ("ln", "logarithm"),
        "sqrt": ("square_root",),
        "reciprocal": ("inverse", "inv"),
    },
    "aggregations": {
        "sum": ("add", "plus", "linear", "weighted_sum", "sum_pool"),
        "mean": ("avg", "average", "mean_pool", "avg_pool", "average_pool"),
        "product": ("prod", "mul", "multiply", "times"),
        "max": ("maximum", "max_pool", "or"),
        "min": ("minimum", "min_pool", "and"),
        "max_abs": ("abs_max", "maximum_absolute"),
    },
    "losses": {
        "squared_error": ("mse", "mse_loss", "mean_squared_error", "l2", "l2_loss", "quadratic", "least_squares"),
        "absolute_error": ("mae", "mae_loss", "mean_absolute_error", "l1", "l1_loss", "least_absolute_deviations"),
        "cross_entropy": (
            *("ce", "ce_loss", "cross_entropy_loss", "softmax", "softmax_cross_entropy", "nll", "nll_loss"),
            *("negative_log_likelihood", "categorical_crossentropy", "sparse_categorical_crossentropy"),
        ),
        "binary_cross_entropy": (
            *("bce", "bce_loss", "bce_with_logits", "bce_with_logits_loss", "log_loss"),
            *("logistic", "sigmoid", "sigmoid_cross_entropy"),
        ),
        "huber": ("smooth_l1", "smooth_l1_loss", "huber_loss"),
        "poisson": ("poisson_nll", "poisson_nll_loss", "poisson_loss"),
        "gamma": ("gamma_nll", "gamma_deviance"),
        "negative_binomial": ("nb", "negbin", "nb_nll", "zinb"),
        "cox": ("coxph", "cox_ph", "cox_loss", "partial_likelihood", "survival", "survival_cox", "breslow"),
    },
    "initializers": {
        "glorot": ("xavier", "xavier_uniform", "xavier_normal", "glorot_uniform", "glorot_normal"),
        "he": ("kaiming", "kaiming_uniform", "kaiming_normal", "he_uniform", "he_normal"),
    },
    "optimizers": {
        "sgd": ("gd", "gradient_descent", "momentum", "nesterov", "stochastic_gradient_descent"),
    },
    "metrics": {
        "auc": ("roc_auc", "auroc", "roc_auc_score", "area_under_the_curve"),
        "average_precision": ("ap", "auprc", "pr_auc", "average_precision_score"),
        "balanced_accuracy": ("bac", "balanced_accuracy_score"),
        "brier": ("brier_score", "brier_score_loss"),
        "concordance": ("c_index", "cindex", "concordance_index", "harrell_c"),
        "log_loss": ("cross_entropy",),
        "mcc": ("matthews_corrcoef", "matthews", "phi"),
        "r2": ("r2_score", "r_squared", "coefficient_of_determination"),
        "rmse": ("root_mean_squared_error",),
    },
    "executors": {
        "python": ("networkx", "reference", "cpython"),
        "numba": ("jit", "llvm", "cpu"),
        "torch": ("pytorch", "cuda", "gpu"),
        "jax": ("xla", "tpu"),
    },
    "formats": {
        "dot": ("graphviz",),
        "gexf": ("gephi",),
        "node-link": ("networkx", "nx", "d3", "node_link_data"),
        "edgelist": ("edges", "table"),
    },
}
"""Kind → flowgrad's name → its aliases."""

PACKAGES = {
    "executors": {
        "torch": "flowgrad-torch",
        "dask": "flowgrad-dask",
        "jax": "flowgrad-jax",
        "scipy": "flowgrad-scipy",
    }
}
"""Kind → names that other packages provide → the package to install."""


def formerly(given: str, now: str) -> None:
    """Issue a DeprecationWarning at the caller's caller: the form `given` is replaced by `now`."""
    warnings.warn(f"{given} is written {now} now", DeprecationWarning, stacklevel=3)
