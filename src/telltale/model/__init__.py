"""Networks: named, run, given a head, saved and loaded."""
