"""Alembic's environment. Runs within a transaction that the caller opened and will commit; see `storage.migrate`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
