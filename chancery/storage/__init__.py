"""Where the server keeps things: tables, sealed documents, migrations. The only code that knows a database dialect."""
