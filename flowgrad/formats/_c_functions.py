"""Activations and aggregations in C99: bodies of `double f(double z)` and of functions of a neuron's terms.

They are those of `flowgrad.maths`, branch by branch, so that they give the same numbers to a few units in the last
place, and inf and NaN where those do. Without an in-edge m is 0, which the caller sees to.
"""

from __future__ import annotations

ACTIVATIONS: dict[str, str] = {
    "identity": "return z;",
    "sigmoid": "double e = exp(-fabs(z)); return z >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);",
    "tanh": "return tanh(z);",
    "relu": "return z <= 0.0 ? 0.0 : z;",
    "leaky_relu": "return z > 0.0 ? z : 0.01 * z;",
    "elu": "return z > 0.0 ? z : expm1(z);",
    "selu": "return 1.0507009873554805 * (z > 0.0 ? z : 1.6732632423543772 * expm1(z));",
    "celu": "return z > 0.0 ? z : expm1(z);",
    "softplus": "return z > 0.0 ? z + log1p(exp(-z)) : log1p(exp(z));",
    "softsign": "return z > 1.0 ? 1.0 / (1.0 + 1.0 / z) : z < -1.0 ? 1.0 / (1.0 / z - 1.0) : z / (1.0 + fabs(z));",
    "gelu": "return z < -40.0 ? 0.0 : 0.5 * z * erfc(-z * 0.7071067811865476);",
    "silu": "double e = exp(-fabs(z)); return z < -800.0 ? 0.0 : z * ((z >= 0.0 ? 1.0 : e) / (1.0 + e));",
    "mish": """double e = exp(-fabs(z)), n = e * (e + 2.0);
    if (z < -800.0) return 0.0;
    return z * (z > 0.0 ? (1.0 + 2.0 * e) / (1.0 + 2.0 * e + 2.0 * e * e) : n / (n + 2.0));""",
    "hard_sigmoid": "return z <= -3.0 ? 0.0 : z >= 3.0 ? 1.0 : (z + 3.0) / 6.0;",
    "hard_tanh": "return z <= -1.0 ? -1.0 : z >= 1.0 ? 1.0 : z;",
    "arctan": "return atan(z);",
    "sin": "return sin(z);",
    "cos": "return cos(z);",
    "gaussian": "return exp(-z * z);",
    "step": "return z != z ? z : z > 0.0 ? 1.0 : 0.0;",
    "sign": "return z > 0.0 ? 1.0 : z < 0.0 ? -1.0 : z;",
    "abs": "return fabs(z);",
    "square": "return z * z;",
    "cube": "return z * z * z;",
    "exp": "return exp(z);",
    "log": "return log(z);",
    "sqrt": "return sqrt(z);",
    "reciprocal": "return z == 0.0 ? copysign(HUGE_VAL, z) : 1.0 / z;",
    "neat-sigmoid": "return 1.0 / (1.0 + exp(-clamp(5.0 * z, 60.0)));",
    "neat-tanh": "return tanh(2.5 * z);",
    "neat-sin": "return sin(clamp(5.0 * z, 60.0));",
    "neat-gauss": "double y = clamp(z, 3.4); return exp(-5.0 * y * y);",
    "neat-lelu": "return z > 0.0 ? z : 0.005 * z;",
    "neat-softplus": """double y = clamp(5.0 * z, 60.0);
    return 0.2 * ((y > 0.0 ? y : y < 0.0 ? 0.0 : y) + log1p(exp(-fabs(y))));""",
    "neat-inv": "return z == 0.0 ? 0.0 : 1.0 / z;",
    "neat-log": "return z != z ? z : log(z > 1e-7 ? z : 1e-7);",
    "neat-exp": "return exp(clamp(z, 60.0));",
    "neat-hat": "return z != z ? z : z > -1.0 && z < 1.0 ? 1.0 - fabs(z) : 0.0;",
    "wann-sin": "return sin(3.141592653589793 * z);",
    "wann-cos": "return cos(3.141592653589793 * z);",
    "wann-gaussian": "return exp(-0.5 * z * z);",
    "wann-inverse": "return -z;",
}
CLAMP = """static double clamp(double z, double limit)
{
    return z > limit ? limit : z < -limit ? -limit : z;
}
"""
"""What activations with `clamp(` in them need."""

AGGREGATIONS: dict[str, str] = {
    "sum": """    double m = 0.0;
    for (k = 0; k < n; k++) m += w[k] * a[s[k]];
    return m;""",
    "mean": """    double m = 0.0;
    for (k = 0; k < n; k++) m += w[k] * a[s[k]];
    return m / n;""",
    "product": """    double m = 1.0;
    int e = 0;
    for (k = 0; k < n; k++) { /* exponents apart: no partial product overflows */
        int i = 0, j = 0;
        m *= frexp(w[k] * a[s[k]], &i);
        m = frexp(m, &j);
        e += i + j;
    }
    return ldexp(m, e);""",
    "max": """    double m = w[0] * a[s[0]];
    for (k = 1; k < n && m == m; k++) {
        double t = w[k] * a[s[k]];
        if (!(t <= m)) m = t;
    }
    return m;""",
    "min": """    double m = w[0] * a[s[0]];
    for (k = 1; k < n && m == m; k++) {
        double t = w[k] * a[s[k]];
        if (!(t >= m)) m = t;
    }
    return m;""",
    "max_abs": """    double m = w[0] * a[s[0]];
    for (k = 1; k < n && m == m; k++) {
        double t = w[k] * a[s[k]];
        if (!(fabs(t) <= fabs(m))) m = t;
    }
    return m;""",
    "median": """    {storage}double t[{most}];
    int gap;
    for (k = 0; k < n; k++) {
        t[k] = w[k] * a[s[k]];
        if (t[k] != t[k]) return t[k];
    }
    for (gap = n / 2; gap > 0; gap /= 2) /* Shell's sort */
        for (k = gap; k < n; k++) {
            double x = t[k];
            int j = k;
            for (; j >= gap && t[j - gap] > x; j -= gap) t[j] = t[j - gap];
            t[j] = x;
        }
    if (n % 2) return t[n / 2];
    return fabs(t[n / 2 - 1]) < 1.0 ? 0.5 * (t[n / 2 - 1] + t[n / 2]) : 0.5 * t[n / 2 - 1] + 0.5 * t[n / 2];""",
}
