"""A server as a child process: each message is one line."""
