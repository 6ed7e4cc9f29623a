"""Everything that writes orders and money, one use case per module."""
