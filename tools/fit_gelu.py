#!/usr/bin/env python3
"""Fits the polynomial of src/kern/x86/gelu_x86.inc and prints its coefficients: plain Python, no packages.

With q(a) = erfc(a / sqrt 2) / 2, what the normal distribution leaves beyond a, finds p of degree 8 such
that max |p(a)^4 - q(a)| over [0, 5.2] is least: Remez exchange (Remez 1934) on the fourth root of q, an error
of which counts 4 q^(3/4) times. The constant is then set to 2^(-1/4) rounded, q(0) being 1/2. Beyond 5.2 p must
keep falling through zero and stay negative; this is checked too.

    python3 tools/fit_gelu.py
"""
import math
import struct

DEGREE, END, ROOT = 8, 5.2, 4
GRID = [END * (1 - math.cos(math.pi * i / 4000)) / 2 for i in range(4001)]


def q(a):
    return math.erfc(a / math.sqrt(2)) / 2


def target(a):
    return q(a) ** (1 / ROOT)


def weight(a):
    return ROOT * q(a) ** ((ROOT - 1) / ROOT)


def chebyshev(a):
    t, values = 2 * a / END - 1, [1.0, 2 * a / END - 1]
    while len(values) <= DEGREE:
        values.append(2 * t * values[-1] - values[-2])
    return values


def solve(rows):
    """Gaussian elimination with partial pivoting; the last column is the right side."""
    n = len(rows)
    for i in range(n):
        pivot = max(range(i, n), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(i + 1, n):
            factor = rows[r][i] / rows[i][i]
            rows[r] = [x - factor * y for x, y in zip(rows[r], rows[i])]
    out = [0.0] * n
    for i in reversed(range(n)):
        known = sum(rows[i][c] * out[c] for c in range(i + 1, n))
        out[i] = (rows[i][n] - known) / rows[i][i]
    return out


def extremes(error):
    """The grid's places of largest error, one between two changes of sign."""
    places = []
    for i, e in enumerate(error):
        if places and error[places[-1]] * e > 0:
            if abs(e) > abs(error[places[-1]]):
                places[-1] = i
        else:
            places.append(i)
    while len(places) > DEGREE + 2:
        places.pop(0 if abs(error[places[0]]) < abs(error[places[-1]]) else -1)
    return places


def remez():
    n = DEGREE + 2
    points = [END * (1 - math.cos(math.pi * (i + 0.5) / n)) / 2 for i in range(n)]
    for _ in range(40):
        rows = [[v * weight(a) for v in chebyshev(a)] + [(-1) ** i, target(a) * weight(a)]
                for i, a in enumerate(points)]
        *fit, level = solve(rows)
        error = [(sum(x * y for x, y in zip(fit, chebyshev(a))) - target(a)) * weight(a) for a in GRID]
        points = [GRID[i] for i in extremes(error)]
        if max(map(abs, error)) < abs(level) * 1.001 or len(points) < n:
            return fit
    raise SystemExit("no fit after 40 exchanges")


def monomials(fit):
    """Coefficients of ascending powers of a, from those of Chebyshev's polynomials."""
    basis = [[1.0], [-1.0, 2 / END]]
    while len(basis) <= DEGREE:
        nxt = [0.0] + [4 / END * x for x in basis[-1]]
        for i, x in enumerate(basis[-1]):
            nxt[i] -= 2 * x
        for i, x in enumerate(basis[-2]):
            nxt[i] -= x
        basis.append(nxt)
    return [sum(c * b[i] for c, b in zip(fit, basis) if i < len(b)) for i in range(DEGREE + 1)]


def single(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def main():
    power = [single(c) for c in monomials(remez())]
    power[0] = single(2 ** (-1 / ROOT))

    def p(a):
        return sum(c * a**i for i, c in enumerate(power))

    worst = max(abs(max(p(i / 1000), 0) ** ROOT - q(i / 1000)) for i in range(9000))
    root = next(i / 1000 for i in range(9000) if p(i / 1000) <= 0)
    if power[-1] >= 0 or any(p(root + i / 100) > 0 for i in range(1, 100000)):
        raise SystemExit("the polynomial comes back above zero")
    for c in reversed(power):
        print(f"{c:.9e}f")
    print(f"largest error of q with these floats, computed exactly: {worst:.2g}; zero at {root:.2f}")


if __name__ == "__main__":
    main()
