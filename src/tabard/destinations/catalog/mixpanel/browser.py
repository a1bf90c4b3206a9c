"""Which browser a user agent names, in the words of Mixpanel's own clients. Pure."""

import re

# (name, a mark of it, what stands before its version). The first mark found decides: many name themselves after others.
_BROWSERS = tuple(
    (name, re.compile(mark), re.compile(lead + r"(\d+(?:\.\d+)*)"))
    for name, mark, lead in (
        ("Opera Mini", r"Opera Mini|OPR/.*Mini", r"(?:Opera Mini|OPR)/"),
        ("Opera", r" OPR/|Opera", r"(?:OPR|Opera|Version)/"),
        ("Samsung Internet", r"SamsungBrowser/", r"SamsungBrowser/"),
        ("Microsoft Edge", r"Edge?/|EdgA/|EdgiOS/", r"(?:Edge?|EdgA|EdgiOS)/"),
        ("Facebook Mobile", r"FBIOS|FB_IAB", r"FBAV/"),
        ("UC Browser", r"UCBrowser|UCWEB", r"(?:UCBrowser|UCWEB)/"),
        ("Chrome iOS", r"CriOS", r"CriOS/"),
        ("Firefox iOS", r"FxiOS", r"FxiOS/"),
        ("Chrome", r"Chrome/", r"Chrome/"),
        ("Firefox", r"Firefox/", r"Firefox/"),
        ("Mobile Safari", r"(?:iPhone|iPad|iPod).*Safari/", r"Version/"),
        ("Android Mobile", r"Android.*Safari/", r"Version/"),
        ("Safari", r"Safari/", r"Version/"),
        ("Internet Explorer", r"MSIE |Trident/", r"(?:MSIE |rv:)"),
    )
)


def browser_of(user_agent: str) -> tuple[str, str] | None:
    """Name and version ('' where it names none) of the browser; None where no known one is named."""
    for name, mark, version in _BROWSERS:
        if mark.search(user_agent):
            found = version.search(user_agent)
            return name, found[1] if found else ""
    return None
