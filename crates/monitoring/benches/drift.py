"""Prints SciPy's version and the processor seconds that ks_2samp takes for pairs of columns: `drift.py ROWS COLUMNS`."""

import sys
import time

import numpy as np
import scipy
from scipy.stats import ks_2samp

rows, columns = map(int, sys.argv[1:])
random = np.random.default_rng(3)
spent = 0.0
ks_2samp(random.random(20_000), random.random(20_000))  # What is loaded at first use.
for _ in range(columns):
    reference, current = (random.random((3, rows)).sum(axis=0) - 1.5 for _ in range(2))
    started = time.process_time()
    ks_2samp(reference, current)
    spent += time.process_time() - started
print(scipy.__version__, round(spent, 3))
