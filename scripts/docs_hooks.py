"""Pages of the site that docs/ does not hold: MkDocs calls these functions.

The API pages list the public names of the stubs, so that each name is written
once. CONTRIBUTING.md and CHANGELOG.md become pages. Other files outside docs/
that a page links, as `../scripts/test`, are copied: such a link works in a
checkout and on the site.
"""

import ast
import logging
import pathlib
import posixpath
import re

from mkdocs.structure.files import File, Files

_ROOT = pathlib.Path(__file__).parents[1]
_PACKAGE = "keras_lstm"
_PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
_LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[)#])")
_log = logging.getLogger("mkdocs.hooks")


def on_files(files, config):
    """Add the pages that are made, and the files outside that are linked."""
    for namespace, path in _namespaces().items():
        page = f"api/{namespace.rpartition('.')[2]}.md"
        content = _api_page(namespace, path)
        files.append(File.generated(config, page, content=content))
    for name, page in _PAGES.items():
        content = (_ROOT / name).read_text()
        files.append(File.generated(config, page, content=content))
    linked = {
        target
        for file in files.documentation_pages()
        for target in _links(file.src_uri, file.content_string)
        if _is_outside(target) and target not in _PAGES
    }
    for target in sorted(linked):
        if (_ROOT / target).is_file():
            content = (_ROOT / target).read_bytes()
            copy = File.generated(config, f"files/{target}", content=content)
            files.append(copy)
    return Files(files)


def on_page_markdown(markdown, page, config, files):
    """Point links that leave docs/, and those of CONTRIBUTING.md, to pages."""
    source = page.file.src_uri

    def on_site(match):
        target = _target(source, match[1])
        if target in _PAGES:
            target = _PAGES[target]
        elif target.startswith("docs/"):
            target = target.removeprefix("docs/")
        elif (_ROOT / target).is_file():
            target = f"files/{target}"
        else:
            _log.warning("%s links %s: no such file", source, match[1])
        return posixpath.relpath(target, posixpath.dirname(source) or ".")

    return _LINK.sub(on_site, markdown)


def _target(source, link):
    """Return the path within the checkout that a page's link leads to."""
    home = {page: name for name, page in _PAGES.items()}
    place = home.get(source, f"docs/{source}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(place), link))


def _links(source, text):
    return [_target(source, link) for link in _LINK.findall(text)]


def _is_outside(target):
    return not target.startswith("docs/")


def _namespaces():
    """Return the file that lists the names of each public namespace."""
    top = _ROOT / _PACKAGE
    found = {_PACKAGE: top / "__init__.pyi"}
    for node in ast.parse(found[_PACKAGE].read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module is None:
            name = node.names[0].name
            stub = top / name / "__init__.pyi"
            path = stub if stub.is_file() else top / f"{name}.py"
            found[f"{_PACKAGE}.{name}"] = path
    return found


def _api_page(namespace, path):
    """Return the Markdown of a namespace's page."""
    lines = [f"# {namespace}", ""]
    source = path.with_suffix(".py")
    lines += [ast.get_docstring(ast.parse(source.read_text())) or "", ""]
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        for each in node.names:
            if each.asname and not each.name.startswith("_"):
                # A function may have the name of its module.
                own = each.name == node.module
                place = f"{namespace}.{each.name}" if own else namespace
                lines += [f"::: {place}.{each.name}", ""]
    return "\n".join(lines)


def on_post_page(output, page, config):
    """Name the dialog of the search, which the theme leaves without a name."""
    dialog = 'data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')
