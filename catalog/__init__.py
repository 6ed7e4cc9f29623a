"""The catalogue: categories, products, variants, price lists, stock, images."""
