"""Tasks: for each exercise its template, the lab's own version, the cases that it is checked on, and known wrong versions."""
