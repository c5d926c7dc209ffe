"""What a run asks for, where its files lie, how finished steps are proved, which device it uses."""
