"""Suites: models x datasets x protocols, and everything that is made of their Runs, in one call."""
