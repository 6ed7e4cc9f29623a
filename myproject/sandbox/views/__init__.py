"""The HTTP surface: parse, check, one call into an action or a query, answer."""
