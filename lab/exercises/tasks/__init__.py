"""Tasks: for each exercise its words and known wrong versions, the lab's own version, and the cases that it is checked on."""
