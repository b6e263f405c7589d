"""Speed and memory of lindyn against the published algorithm and against plain matrix products.

Run `make bench`, or `python -m benchmarks.run --quick` to leave out the largest network.
"""
