"""Settings of the documentation site: `make docs`.

The Markdown pages are the source, and pytest runs their examples. The API reference is written from the public names,
so that none is left out; equations are set by a MathJax that comes with the pages.
"""

import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import api_pages  # noqa: E402  (beside this file)

import lindyn as ld  # noqa: E402

project = "lindyn"
author = "The lindyn developers"
project_copyright = "The lindyn developers, MIT licence"
version = release = ld.__version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "node_modules", "README.md", "**/sg_execution_times.rst"]
suppress_warnings = ["config.cache"]  # the gallery's scraper is a function
default_role = "code"
numfig = True

# pages
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
bibtex_bibfiles = [str(HERE.parent / "src/lindyn/support/references.bib")]
bibtex_default_style = "alpha"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# API
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_use_rtype = False


def figures_of(block, block_vars, gallery_conf):
    """Save the figure that a script of the gallery leaves in a variable; ours live outside pyplot's registry."""
    from matplotlib.figure import Figure
    from sphinx_gallery.scrapers import figure_rst

    del block
    found = [value for value in block_vars["example_globals"].values() if isinstance(value, Figure)]
    paths = [next(block_vars["image_path_iterator"]) for _ in found]
    for figure, path in zip(found, paths, strict=True):
        figure.savefig(path, dpi=120)
    return figure_rst(paths, gallery_conf["src_dir"])


# gallery: short scripts, each with its figure
sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "gallery"),
    "gallery_dirs": "gallery",
    "filename_pattern": r".*",
    "image_scrapers": (figures_of,),
    "min_reported_time": 1,
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
    "download_all_examples": False,
}

# look
html_theme = "furo"
html_title = "lindyn"
html_static_path = ["_static"]
html_css_files = ["lindyn.css"]
html_show_sphinx = False
mathjax_path = "mathjax/tex-svg.js"
mathjax_options = {"defer": "defer"}


def markdown_in_docstrings(app, what, name, obj, options, lines):
    """Make tables of Markdown list tables, and bars outside code literal."""
    del app, what, name, obj, options
    out, rest = [], list(lines)
    while rest:
        line = rest.pop(0)
        if line.lstrip().startswith("|") and rest and re.fullmatch(r"\s*\|[-| :]+\|\s*", rest[0]):
            pad = line[: len(line) - len(line.lstrip())]
            rows = [line]
            rest.pop(0)
            while rest and rest[0].lstrip().startswith("|"):
                rows.append(rest.pop(0))
            out += ["", pad + ".. list-table::", pad + "   :header-rows: 1", ""]
            for row in rows:
                cells = [cell.strip() or " " for cell in row.strip().strip("|").split("|")]
                out += [pad + ("   * - " if k == 0 else "     - ") + cell for k, cell in enumerate(cells)]
            out.append("")
        else:
            out.append(_linked(line))
    lines[:] = out


def _linked(line):
    """Link "theory (3.2)" to that equation, and make bars outside code literal, as in ‖A‖ or |λ|."""
    line = re.sub(r"(?<![`\\])\|(?!`)", r"\\|", line)
    if "theory" not in line and "works" not in line:
        return line
    numbers = r"\((\d+)\.(\d+)\)"
    return re.sub(numbers, lambda m: rf":ref:`({m[1]}.{m[2]}) <eq-{m[1]}-{m[2]}>`", line)


def end_of_examples(app, name, source):
    """Drop the empty line that doctest needs after the last output of a block."""
    del app, name
    source[0] = source[0].replace("\n\n```\n", "\n```\n")


def bring_mathjax(app):
    """Copy MathJax from node_modules, where `npm ci` has put it, into the static files."""
    source, target = HERE / "node_modules" / "mathjax" / "es5", Path(app.outdir) / "_static" / "mathjax"
    if not source.is_dir():
        raise RuntimeError("docs/node_modules/mathjax is missing; run `make docs`, which installs it with npm.")
    target.mkdir(parents=True, exist_ok=True)
    for name in ("tex-svg.js",):
        shutil.copyfile(source / name, target / name)


def write_explorer(app):
    """Write the explorer beside the pages, one of which shows it in a frame."""
    ld.explorer.write_page(Path(app.outdir) / "_static" / "explorer.html")


def setup(app):
    """Write the API pages before reading, and connect what is above."""
    api_pages.write(HERE / "api")
    app.connect("autodoc-process-docstring", markdown_in_docstrings, priority=900)
    app.connect("source-read", end_of_examples)
    app.connect("builder-inited", bring_mathjax)
    app.connect("builder-inited", write_explorer)
