"""Checks before the hours are spent: data, divisions, networks and evaluation of a study, each with a remedy.

``docs/doctor.md`` describes every check.
"""

from cnnbench.doctor.examine import Scope, examine

__all__ = ["Scope", "examine"]
