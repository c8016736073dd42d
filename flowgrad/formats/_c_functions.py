"""Aggregations in C99: bodies of functions of a neuron's terms.

They are those of `flowgrad.maths`, branch by branch, so that they give the same numbers to a few units in the last
place, and inf and NaN where those do. Without an in-edge m is 0, which the caller sees to.
"""

from __future__ import annotations

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
