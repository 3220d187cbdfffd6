"""What a caller asks for: tools, streams, changes, tasks, and the one loop that decides about sending again."""
