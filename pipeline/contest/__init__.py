"""From a folder or zip to records and uint8 images, and from predictions to the CSV."""
