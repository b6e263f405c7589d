"""What fits in memory: asked before it is taken."""

from __future__ import annotations

from lindyn.support.errors import InvalidArgument


def require_memory(
    name: str,
    value: object,
    needed: float,
    what: str,
    remedy: str = "use a smaller width or an update rule that runs on the reduced factor",
    *,
    enough: str = "small",
) -> None:
    """Refuse an argument whose consequence needs more memory than is available.

    Args:
        name: the argument.
        value: of it, for the sentence.
        needed: bytes.
        what: would be held.
        remedy: what to do instead.
        enough: which values need less memory, "small" or "large".

    Raises:
        InvalidArgument: more than is available now.
    """
    import psutil

    available = psutil.virtual_memory().available
    if needed > available:
        shown = f"{value:,}" if isinstance(value, int) else f"{value}"
        raise InvalidArgument(
            name,
            f"be {enough} enough for {what} to fit in memory",
            f"{shown} needs {min(needed, 1e300) / 2**30:,.3g} GiB and {available / 2**30:,.3g} GiB are available",
            remedy,
        )
