"""
One cell, by theory
===================

Errors and learned strength of the signal's modes without a matrix, for a matrix of a million rows.
"""

import lindyn as ld

law = ld.laws.exponents(10**6, variance_exponent=-1.5, width_exponent=2.0)
figure = ld.plots.prediction(ld.predict(10**6, law, rank=5, steps=500))
