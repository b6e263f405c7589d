"""How large a number may be: one table for every room. Within it no formula of the library leaves what floats hold.

A float64 ends at 1.8·10³⁰⁸. What a formula squares may reach 10¹⁵⁰, since the sum of many such squares is a number;
what enters by its fourth power, as an entry of two factors does in their imbalance, or a singular value in σ⁴, 10⁶⁰.
"""

SQUARED = 1e150  # thresholds, variances, learning rates, singular values of a mode: enter squared
TO_THE_FOURTH = 1e60  # noise, scale, singular values of a signal, entries of factors: enter by their fourth power
SCALE = 1e50  # of an adapter, beside the fourth power of an entry
WIDEST = 1e300  # a width enters as it is, beside variances of its inverse
LARGEST_SIDE = 10**18  # of a matrix: its number of entries is a number
LARGEST_LOGARITHM = 150.0  # of d^γ: e^150 = 10⁶⁵, whose square and inverse are numbers
MOST_STEPS = 10**15  # of a run, each a whole number in float64
DEEPEST_NETWORK = 1000  # layers: more are never held
