"""Importing the package stays light and changes nothing for others."""

import subprocess
import sys

import pytest

import lindyn


def run_python(code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def seen():
    return run_python(
        "import sys, lindyn as ld, jax, jax.numpy as jnp\n"
        "modules = sorted(sys.modules)\n"
        "task = ld.SpikedMatrix(dim=4, rank=1)\n"
        "run = ld.simulate(ld.TwoLayer.gaussian(4, 100, 0.01), task, ld.GradientDescent(steps=2))\n"
        "print(run.info.dtype, jax.config.jax_enable_x64, jnp.ones(1).dtype, *modules)"
    )


@pytest.mark.parametrize("module", ["matplotlib", "torch", "sklearn", "dask", "safetensors", "peft", "transformers"])
@pytest.mark.slow
def test_extras_are_not_imported(seen, module):
    assert module not in seen[3:]


def test_a_run_in_double_precision_flips_no_global_flag(seen):
    assert seen[:3] == ["float64", "False", "float32"]


def test_every_public_name_is_there():
    assert all(hasattr(lindyn, name) for name in lindyn.__all__)
