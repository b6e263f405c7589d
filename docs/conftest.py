"""The page that trains with PEFT takes seconds to import it: left out of the fast lane, as slow tests are."""

import pytest

_SLOW = {"fine-tune.md"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the pages that are slow."""
    for item in items:
        if item.path.name in _SLOW:
            item.add_marker(pytest.mark.slow)
