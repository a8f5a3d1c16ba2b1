"""From rows of an index to the arrays that a network takes."""
