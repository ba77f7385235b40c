"""ClickHouse: connecting, migrations and schema check, Arrow encoding, the sink, queries."""
