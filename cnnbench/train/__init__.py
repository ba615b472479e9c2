"""The only training loop: a trial goes in, its outcome comes out."""

from cnnbench.train.features import FeatureFolder
from cnnbench.train.trial import Listener, TrialRequest, run_trial
from cnnbench.train.weights import load_network

__all__ = ["FeatureFolder", "Listener", "TrialRequest", "load_network", "run_trial"]
