"""`Page`: an HTML page as tests read it."""

from html.parser import HTMLParser

VOID = {"meta", "br", "img", "wbr"}


class Page(HTMLParser):
    """Tags with their attributes and the text of a page; fails where a tag is not closed or carries a handler."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.words.append("" if tag == "wbr" else " ")
        assert not [name for name, _ in attributes if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag, attribute):
        """The values of an attribute of all tags of a kind."""
        return [attributes.get(attribute) for name, attributes in self.tags if name == tag]

    @property
    def names(self):
        """The tags that occur."""
        return {name for name, _ in self.tags}

    @property
    def ids(self):
        """All ids, in order."""
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]

    @property
    def text(self):
        return " ".join("".join(self.words).split())
