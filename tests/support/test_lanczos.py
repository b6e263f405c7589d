"""The largest eigenvalue from products alone, against eigenvalues known beforehand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lindyn as ld
from lindyn.support.lanczos import largest_eigenvalue


def found(*values):
    with jax.enable_x64(True):
        return float(largest_eigenvalue(lambda v: (jnp.array(values) * v[0],), (jnp.ones(len(values)),)))


def test_the_largest_eigenvalue_is_found_of_few_and_of_negative_ones():
    assert found(-3.0, -2.0, -1.0) == pytest.approx(-1.0, rel=1e-12)  # more steps than dimensions
    assert found(5.0) == 5.0
    assert found(0.0, 0.0) == 0.0
    assert found(-1.0, 1.0, 0.999) == pytest.approx(1.0, rel=1e-12)


def test_the_curvature_of_a_cost_is_the_largest_where_the_most_negative_is_larger():
    signs = np.linspace(-2.0, 1.0, 12).reshape(3, 4)
    cost = ld.CustomCost(lambda a: 0.5 * (signs * a**2).sum(), (3, 4))
    assert cost.curvature() == pytest.approx(1.0, rel=1e-9)
