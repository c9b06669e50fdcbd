"""The one kind of error a user sees."""


class UserError(Exception):
    """Something the user can put right: the message is one line that says what is wrong and what to do."""
