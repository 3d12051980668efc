"""What do the trials of the search show? One file a topic: its frame, its table, its figure."""
