"""Studies of recipes: what each ingredient is worth, and which settings score best."""
