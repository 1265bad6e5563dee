"""Files of events, one module a family of formats."""
