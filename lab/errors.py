"""The one exception that a user's mistake becomes."""


class UserError(Exception):
    """What the user asked for cannot be done. The message is one sentence that names the thing, what is wrong and what to do."""
