"""Each example, run as its reader would run it, and the README's code."""
