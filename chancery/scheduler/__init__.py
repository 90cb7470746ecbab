"""Periodic work: each job done by one node at a time, through restarts and clocks that are set."""
