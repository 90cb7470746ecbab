"""Lists in pages: `after` is the last name of the page before, `limit` the length of this one."""

from pydantic import Field

from chancery.kit.params import LaxInt, Params, Text


class Page(Params):
    """Parameters of every LIST."""

    after: Text = Field("", description="Only what comes behind this")
    limit: LaxInt = Field(0, description="At most so many; 0 or less = all")

    @property
    def length(self) -> int | None:
        """Return the limit, None for all."""
        return self.limit if self.limit > 0 else None
