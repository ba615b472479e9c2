"""Designs whose plan depends on results: how a decision is taken, and how the whole is analysed."""
