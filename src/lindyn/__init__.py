"""Simulate, predict and diagnose the training of linear networks."""
