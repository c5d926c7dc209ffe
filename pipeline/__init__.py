"""The program: labelled images, test images and a byte limit in; a packed student that fits and a CSV out."""
