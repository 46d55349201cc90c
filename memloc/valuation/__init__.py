"""Values of the rows and cells of a labelled table, out of bag: how well others like it speak for each of them."""
