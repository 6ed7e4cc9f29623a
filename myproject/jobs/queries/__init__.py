"""What operators ask about jobs. Every statement here uses an index and reads a bounded number of rows."""
