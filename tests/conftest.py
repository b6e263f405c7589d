"""Settings shared by all tests."""

import pytest
from hypothesis import settings

settings.register_profile("suite", max_examples=25, deadline=None, derandomize=True, database=None)
settings.load_profile("suite")

# looked through for doctests otherwise, and its import of transformers takes seconds
collect_ignore = ["helpers"]
SLOW_PAGES = {"fine-tune.md"}  # it trains with PEFT, whose import takes seconds


def pytest_collection_modifyitems(items):
    """Leave slow pages out of the fast lane, as slow tests are."""
    for item in items:
        if item.path.name in SLOW_PAGES:
            item.add_marker(pytest.mark.slow)
