"""Tests of whole terms: a factor's main effect, an interaction."""
