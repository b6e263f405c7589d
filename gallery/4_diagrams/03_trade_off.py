"""
What depth in the active region costs
=====================================

`advise` finds start, learning rate and stopping step, and what every other depth would buy and cost.
"""

import lindyn as ld

advice = ld.advise(200, rank=5, noise=1.0)
print(advice)
figure = advice.plot()
