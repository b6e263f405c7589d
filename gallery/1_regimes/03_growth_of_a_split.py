"""
Which modes are lazy, which active
==================================

`regime` splits the modes of a target at the threshold and gives each its learning time.
"""

import lindyn as ld

split = ld.prediction.regime(2.0, [16.0, 8.0, 4.0, 1.0, 0.5])
figure = ld.plots.mode_growth(split)
