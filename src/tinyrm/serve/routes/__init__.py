"""What each client asks, in its own shapes; and the page."""
