"""Layouts in which adapters are saved, one file each; the first that recognises a file reads it."""
