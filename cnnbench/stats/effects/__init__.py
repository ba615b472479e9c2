"""Estimates with one degree of freedom: questions as weights, their tests, families and effect sizes."""
