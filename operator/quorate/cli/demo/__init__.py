"""`quorate lab demo`: the story of Quorate played in a lab, and every step of it checked."""
