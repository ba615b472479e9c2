"""One response, step by step: `start` selects its trials, `run_tests` tests, `finish` says what was found.

What the steps find is gathered in a `Work`.
"""

from cnnbench.stats.response.finish import finish
from cnnbench.stats.response.start import start
from cnnbench.stats.response.tests import ask_primary, hypotheses, run_tests
from cnnbench.stats.response.work import Work

__all__ = ["Work", "ask_primary", "finish", "hypotheses", "run_tests", "start"]
