"""Numbers that a server gives: durations, sizes, how far something has come.

Runs on: any thread; no state but when something was logged last.
"""

from __future__ import annotations

import math
from typing import Optional, Union

from ..concurrency.log import Log, Sparing

__all__ = ["LARGEST", "read_number"]

_said = Sparing(Log(__name__))

# An integer may have any number of digits; what cannot become a float fails wherever somebody calculates with it.
LARGEST = 2**1000


def read_number(
    value: object, what: str, least: float = -float(LARGEST), most: float = float(LARGEST)
) -> Optional[Union[int, float]]:
    """``value`` as a finite number between ``least`` and ``most``; None where it is absent, and where it is none, which
    is logged.

    Parameters:
        what: it is, for the log.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        problem = f"a {type(value).__name__}"
    elif not -LARGEST <= value <= LARGEST:  # nor is NaN
        problem = "NaN" if isinstance(value, float) and math.isnan(value) else "too large"
    else:
        return min(max(value, least), most)
    _said.warning(what, "a %s that the server gives cannot be used (%s), and is ignored", what, problem)
    return None
