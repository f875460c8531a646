"""What a person's tools do at the API server, in their own name: sign in, read, foresee, and carry out a verb."""
