"""Work beside the caller: a map on threads that keeps its order, and child processes that answer one request."""
