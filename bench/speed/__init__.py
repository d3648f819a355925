"""How fast this suite is, as ratios measured in one run."""
