"""HTTP interface of the app."""
