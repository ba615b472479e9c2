"""Two and more runs, or parts of them, side by side: on the same examples, over seeds, and in what was asked for.

Nothing here is declared beforehand, so everything that it finds is exploratory.
"""

from cnnbench.compare.comparison import Options, compare

__all__ = ["Options", "compare"]
