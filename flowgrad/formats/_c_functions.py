"""Define the aggregations in C99, as bodies of functions of a neuron's n terms w[k] * a[s[k]].

They follow `flowgrad.maths` branch by branch: results agree to a few units in the last place, and inf and NaN arise
in the same cases. They need n > 0: without in-edges m is 0, for which the caller is responsible.
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
