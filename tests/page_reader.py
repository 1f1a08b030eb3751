"""Reads a page for tests of what it says."""

import html.parser


class Reader(html.parser.HTMLParser):
    """Reads the elements and the text of a page."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts, self.ids = [], [], []
        self._in = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._in.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & {*self._in}:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        return [x for name, x in self.elements if name == tag]
