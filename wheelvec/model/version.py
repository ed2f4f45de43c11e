"""The version of the package; records carry it."""

VERSION = "0.1.0"
