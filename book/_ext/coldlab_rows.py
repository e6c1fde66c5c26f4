"""Measured pictures in the book's pages, as chapters show theirs: words of the page beside each row, on a phone above.

    ```{rows} ../results/mnist-blur.webp
    :alt: what it shows
    ```

The file says itself where its images lie and what the rows are (`coldlab.plots.stored`).
"""

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from coldlab import plots
from coldlab.errors import ColdlabError


class Rows(SphinxDirective):
    required_arguments = 1
    option_spec = {"alt": directives.unchanged_required}  # noqa: RUF012 - as docutils has it

    def run(self) -> list[nodes.Node]:
        name, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(name)
        try:
            picture = plots.stored(path, self.options.get("alt", ""))
        except (ColdlabError, OSError) as error:
            raise self.error(str(error)) from error
        return [nodes.raw("", picture._repr_mimebundle_()["text/html"], format="html")]


def setup(app):
    app.add_directive("rows", Rows)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
