"""What do the full-length runs show? One file a topic: its frame, its table, its figure."""
