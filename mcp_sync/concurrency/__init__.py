"""Locks, events, threads, signals and forks; nothing in here knows of MCP."""
