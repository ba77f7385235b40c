"""Who may see the console and who may act in it: users, sessions, login, and what they did."""
