"""Settings shared by all tests."""

from hypothesis import settings

settings.register_profile("suite", max_examples=25, deadline=None, derandomize=True, database=None)
settings.load_profile("suite")

# looked through for doctests otherwise, and its import of transformers takes seconds
collect_ignore = ["helpers"]
