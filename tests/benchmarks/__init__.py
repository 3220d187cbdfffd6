"""How fast the client is beside others, measured in one run against one server: ``python -m tests.benchmarks``."""
