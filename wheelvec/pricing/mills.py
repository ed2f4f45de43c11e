"""The Mills ratio R(z) = (1 - Phi(z))/phi(z), and differences of it.

R(z) = sqrt(pi/2)*exp(z*z/2)*erfc(z/sqrt(2)). For z >= -1 it is computed from one polynomial P
(`wheelvec.pricing.coefficients`): with u = 1/(z + 6) and y = 1 - 10*u, which maps [-1, inf) to [-1,
1), R(z) = u*P(y). With libm's erfc R would underflow beyond z = 37, and a call would keep a loop
scalar.
"""

import math

from wheelvec.jit.compiled import njit, njit_straight
from wheelvec.pricing.coefficients import MILLS_EVEN, MILLS_ODD

SQRT_TWO_PI = math.sqrt(2.0 * math.pi)
LEAST = -1.0  # lower end of the polynomial's domain


@njit_straight
def mills_from_least(z: float) -> float:
    """R(z) for z >= -1, within 4 units of rounding.

    The even and the odd half of P are independent, so that the processor computes them in parallel.
    """
    u = 1.0 / (z + 6.0)
    y = 1.0 - 10.0 * u
    w = y * y
    even, odd = MILLS_EVEN[12], MILLS_ODD[12]
    for i in range(11, -1, -1):
        even = even * w + MILLS_EVEN[i]
        odd = odd * w + MILLS_ODD[i]
    ratio: float = u * (even + y * odd)
    return ratio


@njit_straight
def mills_pair(z1: float, z2: float) -> tuple[float, float, float]:
    """R(z1), R(z2) and the divided difference (R(z1) - R(z2))/(z2 - z1), for both at least -1.

    The divided difference keeps all its digits however close z1 and z2 are, also if they are equal
    (then it is -R'), because nothing is subtracted: Horner's rule for P at y2 yields the
    coefficients of (P(y) - P(y2))/(y - y2), which are summed at y1 at the same time. It costs no
    more than the two ratios. Since y1 - y2 = 10*u1*u2*(z1 - z2),

        (R(z1) - R(z2))/(z2 - z1) = u1*u2*(P(y2) - 10*u1*(P(y1) - P(y2))/(y1 - y2)),

    and P decreases, so that both terms are positive. With P(y) = E(y*y) + y*O(y*y) the four
    recurrences (E and O at y2, and their divided differences by y*y) are half as long and
    independent.
    """
    u = 1.0 / ((z1 + 6.0) * (z2 + 6.0))
    u1 = (z2 + 6.0) * u
    u2 = (z1 + 6.0) * u
    y1 = 1.0 - 10.0 * u1
    y2 = 1.0 - 10.0 * u2
    w1 = y1 * y1
    w2 = y2 * y2
    even, odd = MILLS_EVEN[12], MILLS_ODD[12]
    even_slope, odd_slope = even, odd
    even = even * w2 + MILLS_EVEN[11]
    odd = odd * w2 + MILLS_ODD[11]
    for i in range(10, -1, -1):
        even_slope = even_slope * w1 + even
        odd_slope = odd_slope * w1 + odd
        even = even * w2 + MILLS_EVEN[i]
        odd = odd * w2 + MILLS_ODD[i]
    p2 = even + y2 * odd
    slope = odd + (y1 + y2) * (even_slope + y1 * odd_slope)
    p1 = p2 + (y1 - y2) * slope
    return u1 * p1, u2 * p2, u * (p2 - 10.0 * u1 * slope)


@njit
def mills(z: float) -> float:
    """R(z) for any z; inf below z = -37."""
    if z >= LEAST:
        return mills_from_least(z)
    return SQRT_TWO_PI * math.exp(0.5 * z * z) - mills_from_least(-z)


@njit
def mills_difference(a: float, t: float) -> float:
    """R(a - t) - R(a + t) for a >= 0 and t > 0, precise also for small t."""
    if a - t >= LEAST:
        return 2.0 * t * mills_pair(a - t, a + t)[2]
    return mills(a - t) - mills(a + t)
