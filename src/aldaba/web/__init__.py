"""What arrived, who sent it, and which dialect answers."""
