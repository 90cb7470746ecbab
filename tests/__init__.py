"""The tests of Chancery: unit, contract, integration, architecture."""
