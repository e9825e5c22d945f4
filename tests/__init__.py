"""The suite. It talks to real servers, on ports and in folders of its own."""
