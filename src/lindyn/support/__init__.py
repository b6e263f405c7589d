"""Shared ground, without mathematics of networks: checks, precision, storage, progress, citations."""
