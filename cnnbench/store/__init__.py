"""The results on disk: a run folder, one HDF5 file for each trial. The only importer of h5py.

``docs/file-format.md`` is the specification of the files.
"""

from cnnbench.store.decisions import StoredDecision, add_decision, fingerprint, read_decisions, trials_fingerprint
from cnnbench.store.run_folder import RunFolder
from cnnbench.store.study import Study, cell_trials, read_classes
from cnnbench.store.trial_file import (
    FORMAT_VERSION,
    StoredTrial,
    read_predictions,
    read_trial,
    write_trial,
)

__all__ = [
    "FORMAT_VERSION",
    "RunFolder",
    "StoredDecision",
    "StoredTrial",
    "Study",
    "add_decision",
    "cell_trials",
    "fingerprint",
    "read_classes",
    "read_decisions",
    "read_predictions",
    "read_trial",
    "trials_fingerprint",
    "write_trial",
]
