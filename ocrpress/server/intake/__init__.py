"""Documents as they come: received, looked at, with the options that the request gives."""
