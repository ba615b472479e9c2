"""The only training loop: a trial goes in, its outcome comes out."""

from cnnbench.train.trial import Listener, TrialRequest, run_trial

__all__ = ["Listener", "TrialRequest", "run_trial"]
