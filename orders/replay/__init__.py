"""The replay of a retailer's real invoice file through the whole platform; the contract is in ``docs/replay.md``."""
