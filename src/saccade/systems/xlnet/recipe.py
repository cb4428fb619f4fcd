RECIPE = None
