"""What a curator works on: pictures with labels, who said each of them and when; dataset folders and their versions."""
