"""The arithmetic of the comparison: medians, ratios round by round, the slope of a line in log-log.

Knows nothing of programs or files. Empty lists give None, never an exception."""

import math
import statistics


def summary(values):
    """{'median', 'least', 'most', 'n'} of the values that are there, or None."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    return {'median': statistics.median(there), 'least': min(there), 'most': max(there),
            'n': len(there)}


def ratios(ours, theirs):
    """Ours over theirs, round by round: a round counts only where both have a figure. Two programs in
    the same round met the same clock and the same neighbours; their quotient is what may be compared."""
    return [a / b for a, b in zip(ours, theirs) if a is not None and b]


def slope(xs, ys):
    """(exponent, factor) of the line through (log x, log y) by least squares: y = factor * x^exponent."""
    if len(xs) != len(ys) or len(xs) < 2 or min(xs) <= 0 or min(ys) <= 0:
        raise ValueError('a slope needs two or more points above zero')
    lx, ly = [math.log(x) for x in xs], [math.log(y) for y in ys]
    mx, my = statistics.fmean(lx), statistics.fmean(ly)
    across = sum((x - mx) ** 2 for x in lx)
    if across == 0:
        raise ValueError('a slope needs two different x')
    exponent = sum((x - mx) * (y - my) for x, y in zip(lx, ly)) / across
    return exponent, math.exp(my - exponent * mx)


def ladder(total, least=256):
    """The sizes a run may have: doubling from `least`, the last being everything."""
    sizes, size = [], least
    while size < total * 3 / 4:
        sizes.append(size)
        size *= 2
    return sizes + [total]


def choose_size(total, documents_per_second, seconds, least=256):
    """The size of the ladder that takes nearest to `seconds`; the largest where the rate is unknown."""
    sizes = ladder(total, least)
    if not documents_per_second:
        return sizes[-1]
    wanted = max(1.0, documents_per_second * seconds)
    return min(sizes, key=lambda size: abs(math.log(size / wanted)))
