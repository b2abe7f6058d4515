"""Networks in torch, the zoo that names them, and the weights that ship."""
