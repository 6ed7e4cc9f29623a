"""What the stand-in does: every function here changes rows, in one short transaction."""
