"""Where pictures come from, what they are and how they are divided. No torch here."""
