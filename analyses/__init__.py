"""Runnable experiments, one question each. `python -m analyses` lists them."""
