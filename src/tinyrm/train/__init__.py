"""Training: from preferences to a checkpoint folder."""
