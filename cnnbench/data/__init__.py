"""Images on disk, decoded once and kept as uint8 at every size that a study uses; splits; batches on the device.

Batches are imported from `cnnbench.data.batches`, which needs torch; everything that a plan needs is here and does not.
"""

from cnnbench.data.prepare import PreparedDataset, default_cache_dir, prepare
from cnnbench.data.split import SplitIndices, check_split, split_examples

__all__ = ["PreparedDataset", "SplitIndices", "check_split", "default_cache_dir", "prepare", "split_examples"]
