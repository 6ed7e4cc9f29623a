"""Rules of the code base that a reviewer would otherwise have to look for, one file per topic."""
