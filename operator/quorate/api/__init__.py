"""The four kinds as people write and read them: pydantic models, the CRDs made from them, and the way to the core."""
