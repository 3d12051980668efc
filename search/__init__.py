"""Parameter-budget architecture search for image classifiers."""
