"""Levels of one factor ranked within blocks, datasets above all: Friedman's test and what follows it."""
