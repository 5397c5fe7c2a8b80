"""Geometry of language-model activations, measured with controls that can fail.

The library has no command line and prints nothing; `analyses` holds the runnable experiments.
"""

__version__ = "0.1.0"
