"""178 wines of three cultivars, from scikit-learn itself: one half to learn from, the other to ask about."""

import numpy
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split


def load():
    """Features and cultivars to train on, then those held out."""
    x, y = load_wine(return_X_y=True)
    x, held_out_x, y, held_out_y = train_test_split(x.astype(numpy.float32), y, test_size=0.5, random_state=0, stratify=y)
    return x, y, held_out_x, held_out_y
