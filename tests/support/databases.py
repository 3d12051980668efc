"""Where tests keep their studies."""

import pytest

# The study's own file, and then, among the slow tests, a PostgreSQL server: see the fixture `url`.
both_databases = pytest.mark.parametrize(
    "url", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True
)
