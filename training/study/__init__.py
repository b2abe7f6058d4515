"""`shankha study`: one recipe with each regularization in turn, compared over seeds."""
