"""Classifiers on the same examples: accuracies, Cochran's and McNemar's tests, the paired bootstrap."""
