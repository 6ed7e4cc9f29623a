"""What the search index knows of itself (being written)."""
