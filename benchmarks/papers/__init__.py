"""The experiments of both papers, and a comparison of all methods, by one command each: `python -m benchmarks`."""
