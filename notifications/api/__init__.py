"""Messages have no HTTP interface of their own yet: delivery reports by webhook will live here."""
