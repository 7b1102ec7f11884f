"""Work beside the caller: a map on threads that keeps its order, child processes that answer one request, owners of files."""
