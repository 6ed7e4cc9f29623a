"""What the stand-in answers: every function here only reads."""
