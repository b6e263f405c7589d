"""
Claims, run and checked
=======================

Two claims of Tu, Aranguri and Jacot (2024): what is found beside what is expected.
"""

import lindyn as ld

result = ld.reproduce("tu2024", claims=["figure-2-active", "figure-2-lazy", "figure-2-price"])
print(result)
phases = result.paper.phases
names, values = ["active", "deeper", "lazy"], [p[0] for p in phases]

from matplotlib import pyplot as plt  # noqa: E402

figure, ax = plt.subplots(figsize=(4.2, 3.2), layout="constrained")
ax.bar(names, values)
ax.set(ylabel="smallest test error per entry")
