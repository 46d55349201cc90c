"""Charts: where a vision-language model loses what its tower has seen."""
