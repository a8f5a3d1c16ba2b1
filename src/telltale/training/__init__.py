"""From splits and a recipe to a classifier and the folder of its run."""
