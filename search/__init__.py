"""Product search behind one Protocol; the embedded index uses the database's own full text."""
