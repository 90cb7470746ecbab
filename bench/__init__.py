"""Reproducible benchmarks against peers on the same machine, in the same run. Never a timed test: nothing here fails
because something was slow."""
