"""What is asked about orders; nothing here writes."""
